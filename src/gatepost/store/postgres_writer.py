"""One thread, one connection, many jobs to a commit: the PostgreSQL side of group commit.

What a job demands and what it is owed is as in `store.writer`.  Every transaction that
leases or accepts locks its node's row first, so that a node whose lease has ended can
write nothing that would then belong to nobody.
"""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import structlog

from gatepost.errors import GatepostError, Unavailable
from gatepost.events import Name
from gatepost.store import postgres_database as database
from gatepost.store.postgres_database import Connect, Connection
from gatepost.store.writer import MAXIMUM_BATCH, Job, conclude

_BATCH_OCTETS = 32 * 1024 * 1024
_LOOK = 1.0  # seconds between attempts to reach a database that is gone
_ATTEMPTS = 3  # after a deadlock
_T = TypeVar("_T")

_log = structlog.get_logger("gatepost.store")


class Fault(GatepostError):
    """One job cannot stand; the others can."""


_FAULTS = (
    GatepostError,
    psycopg.IntegrityError,
    psycopg.DataError,
    psycopg.ProgrammingError,
    UnicodeError,
)
_RETRIED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)


@dataclass(frozen=True, slots=True)
class Body:
    """Rows of a large body, made while they are written."""

    number: int
    rows: Callable[[], Iterator[bytes]]


@dataclass(slots=True, eq=False, kw_only=True)
class Order(Job):
    """A job of a node.  `ours` are items that must still be held for it to stand."""

    holder: int = 0  # 0: what it does is guarded by its statements
    ours: Sequence[int] = ()
    bodies: Sequence[Body] = ()
    done: Sequence[tuple[int, int]] = ()  # holder and number of items to delete
    abandoned: bool = False  # whoever waited is gone


@dataclass(frozen=True, slots=True)
class Call:
    """Something that runs alone, between commits, in order with everything else."""

    work: Callable[[Connection], Any]
    future: concurrent.futures.Future[Any]


class Writer:
    """Owns one writing connection; opens it anew after every failure."""

    def __init__(
        self,
        address: str,
        connect: Connect,
        *,
        name: str,
        batch: int = MAXIMUM_BATCH,
        failed: Callable[[bool], None],
        regained: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self._address = address
        self._connect = connect
        self._limit = batch
        self._failed = failed  # told whether the lease has ended
        self._regained = regained  # called while nothing else is written
        self._jobs: queue.SimpleQueue[Order | Call | None] = queue.SimpleQueue()
        self._owed: list[Order] = []
        self._connection: Connection | None = connect(address)
        self._posting = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"writer {name}", daemon=True)
        self._thread.start()

    @property
    def is_up(self) -> bool:
        """Whether the database was there when last asked."""
        return self._connection is not None

    def post(self, job: Order | Call) -> None:
        """Hand a job over; returns at once."""
        with self._posting:  # nothing may follow the word to stop
            if self._stopping:
                raise Unavailable("the queue is closed")
            self._jobs.put(job)

    def call(self, work: Callable[[Connection], _T]) -> _T:
        """Run this in one transaction in the writing thread, after all that was posted; blocks."""
        future: concurrent.futures.Future[_T] = concurrent.futures.Future()
        self.post(Call(work, future))
        return future.result()

    def close(self) -> None:
        """Write everything handed over, then stop."""
        with self._posting:
            if not self._stopping:
                self._stopping = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        stopped = False
        while not stopped:
            batch, call, stopped = self._gather()
            try:
                self._step(batch, call)
            except Exception as error:  # noqa: BLE001 - the thread every message depends on must live
                self._fail(batch, error)
                if call is not None and not call.future.done():
                    call.future.set_exception(_unavailable(error))
        self._pay()
        self._drop_connection()

    def _gather(self) -> tuple[list[Order], Call | None, bool]:
        """Wait for a job, then take what else is there, up to a call."""
        batch: list[Order] = []
        octets = 0
        try:
            job = self._jobs.get(timeout=_LOOK)
            while isinstance(job, Order):
                batch.append(job)
                octets += job.octets
                if len(batch) >= self._limit or octets >= _BATCH_OCTETS:
                    return batch, None, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return batch, None, False
        return batch, job, job is None

    def _step(self, batch: list[Order], call: Call | None) -> None:
        if self._connection is None:
            self._reconnect()
        self._pay()
        if batch:
            self._commit_all(batch)
        if call is not None:
            self._perform(call)

    def _reconnect(self) -> None:
        connection = self._connect(self._address)
        try:
            self._regained(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _commit_all(self, batch: Sequence[Order], attempts: int = _ATTEMPTS) -> None:
        try:
            lost = self._commit(batch)
        except _RETRIED as error:
            if attempts <= 1:
                self._fail(batch, error)
            else:
                self._commit_all(batch, attempts - 1)
        except _FAULTS as error:
            if len(batch) == 1:
                _report(error)
                self._failed(False)
                reason = Unavailable(f"the queue refused an item: {error}")
                conclude(batch, error if isinstance(error, Unavailable) else reason)
                return
            for job in batch:
                self._commit_all([job])
        except (psycopg.Error, OSError) as error:
            self._fail(batch, error)
        else:
            if not lost:
                conclude(batch, None)
                return
            self._failed(True)
            conclude(
                [job for job in batch if job.holder in lost],
                Unavailable("this node's lease of the queue has ended; it takes a new one"),
            )
            if rest := [job for job in batch if job.holder not in lost]:
                self._commit_all(rest)

    def _commit(self, batch: Sequence[Order]) -> frozenset[int]:
        """Write all of it or nothing; returns the nodes declared dead (then it was nothing)."""
        connection = self._open()
        holders = {job.holder for job in batch if job.holder}
        try:
            with connection.pipeline():
                connection.execute("BEGIN")
                guard = connection.execute(database.GUARD, (list(holders),)) if holders else None
                taken = [found for job in batch for found in _write(connection, job)]
                _delete(connection, batch)
            lost = holders.difference(row[0] for row in guard) if guard else set()
            if not lost:
                _demand_ours(taken)
            connection.execute("ROLLBACK" if lost else "COMMIT")
        except BaseException:
            _roll_back(connection)
            raise
        return frozenset(lost)

    def _perform(self, call: Call) -> None:
        connection = self._open()
        try:
            with connection.transaction():
                result = call.work(connection)
        except Fault as error:
            self._failed(True)
            call.future.set_exception(_unavailable(error))
        except (psycopg.Error, OSError) as error:
            call.future.set_exception(_unavailable(error))
            self._fail([], error)
        else:
            call.future.set_result(result)

    def _open(self) -> Connection:
        if self._connection is None:
            self._reconnect()
        assert self._connection is not None
        return self._connection

    def _fail(self, batch: Sequence[Order], error: Exception) -> None:
        if batch or self._connection is not None:  # an outage is told once, not every second
            _report(error)
        self._drop_connection()
        self._owed += [job for job in batch if job.owed]
        conclude([job for job in batch if not job.owed], _unavailable(error))
        self._failed(False)

    def _pay(self) -> None:
        """Write what earlier batches owe, in a transaction of its own."""
        owed, self._owed = self._owed, []
        if owed:
            try:
                self._commit_all(owed)
            except (psycopg.Error, OSError) as error:
                self._fail(owed, error)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _write(connection: Connection, job: Order) -> Iterator[psycopg.Cursor[Any]]:
    """Send everything; yields what tells whether somebody else holds what the job settles."""
    if job.ours:  # a notice may only be queued by whoever still holds what it tells of
        yield connection.execute(database.SELECT_OTHERS, (list(job.ours), job.holder))
    for sql, values in job.statements:
        connection.execute(sql.encode(), values)
    for body in job.bodies:
        for nth, row in enumerate(body.rows()):
            connection.execute(database.INSERT_CHUNK, (body.number, nth, row))


def _delete(connection: Connection, batch: Iterable[Order]) -> None:
    """Delete what was delivered in one statement for all jobs together."""
    done: dict[int, list[int]] = {}
    for job in batch:
        for holder, number in job.done:
            done.setdefault(holder, []).append(number)
    for holder, numbers in done.items():
        connection.execute(database.DELETED, (numbers, holder))


def _demand_ours(taken: Iterable[psycopg.Cursor[Any]]) -> None:
    if any(found.fetchone() for found in taken):
        raise Fault("the item was taken over by another node")


def demand(connection: Connection, holder: int) -> None:
    """Lock this node's row to the end of the transaction; raises Fault when it is gone."""
    if connection.execute(database.GUARD, ([holder],)).fetchone() is None:
        raise Fault("this node's lease of the queue has ended")


def _roll_back(connection: Connection) -> None:
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()


def _report(error: Exception) -> None:
    _log.error(Name.SERVICE_ERROR, service="store.postgres", reason=str(_unavailable(error)))


def _unavailable(error: Exception) -> GatepostError:
    if isinstance(error, GatepostError) and not isinstance(error, Fault):
        return error
    return Unavailable(f"the queue cannot be written: {error}")
