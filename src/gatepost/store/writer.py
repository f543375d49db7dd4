"""One thread that writes, so that many waiting mails share one fsync (group commit).

Jobs posted while a commit runs go together into the next one; settlements, for which nobody
waits, wait a moment for such company.  A failed commit is final for jobs that demand
durability: after a failed fsync nobody knows what the disk holds, so they are told and the
file is opened anew.  Settlements are owed: they are tried again until they stand.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from gatepost.errors import GatepostError, Unavailable
from gatepost.events import Name
from gatepost.store import queue_database as database

Connect = Callable[[Path], sqlite3.Connection]
Statement = tuple[str, tuple[object, ...]]

MAXIMUM_BATCH = 500
_BATCH_OCTETS = 32 * 1024 * 1024
_JOIN = 0.01  # seconds in which what nobody waits for may join a commit that somebody does
_LOOK = 1.0  # seconds between looks for writes by others
_IDLE = 0.2  # seconds without a commit after which a checkpoint disturbs nobody
_CHECKPOINT_AT = 32 * 1024 * 1024  # octets written after which one is made under load, too
_FINISH_AT = 16_384  # pages in the log from which it must not grow on: 64 MiB

_log = structlog.get_logger("gatepost.store")


@dataclass(slots=True, eq=False)
class Job:
    """Statements of one transaction.  `future` (if any) hears of the outcome on its own loop.

    `after` runs in the writing thread once the outcome is known, before the future hears.
    """

    statements: tuple[Statement, ...]
    octets: int = 0
    owed: bool = False
    future: asyncio.Future[None] | None = None
    after: Callable[[Exception | None], None] | None = None
    loop: asyncio.AbstractEventLoop | None = field(init=False)

    def __post_init__(self) -> None:
        self.loop = self.future.get_loop() if self.future else None


class Writer:
    """Owns the writing connection of one database file."""

    def __init__(
        self,
        path: Path,
        *,
        connect: Connect = database.connect,
        changed: Callable[[], None],
        join: float = _JOIN,
    ) -> None:
        self._path = path
        self._connect = connect
        self._changed = changed
        self._join = join
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._owed: list[Job] = []
        self._connection: sqlite3.Connection | None = connect(path)
        database.migrate(self._connection)
        self._seen = self._version()
        self._looked = time.monotonic()
        self._committed = time.monotonic()
        self._octets = 0  # written to the log since it was last emptied, roughly
        self._finish = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"writer {path.name}", daemon=True)
        self._cleaner = threading.Thread(target=self._clean, name="checkpoint", daemon=True)
        self._thread.start()
        self._cleaner.start()

    def post(self, job: Job) -> None:
        """Hand a job over; returns at once."""
        if self._stopping.is_set():
            raise Unavailable("the queue is closed")
        self._jobs.put(job)

    def close(self) -> None:
        """Write everything handed over, then stop."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._jobs.put(None)
        self._thread.join()
        self._cleaner.join()

    def _run(self) -> None:
        stopped = False
        while not stopped:
            batch, stopped = self._gather()
            try:
                self._step(batch)
            except Exception as error:  # noqa: BLE001 - the thread every message depends on must live
                self._fail(batch, error)
        self._pay()
        self._drop_connection()

    def _gather(self) -> tuple[list[Job], bool]:
        """Wait for a job, then take what else is there; settlements wait for company."""
        batch: list[Job] = []
        octets = 0
        is_awaited = False
        try:
            job = self._jobs.get(timeout=_LOOK)
            end = time.monotonic() + self._join
            while job is not None:
                batch.append(job)
                octets += job.octets
                if len(batch) >= MAXIMUM_BATCH or octets >= _BATCH_OCTETS:
                    return batch, False
                is_awaited = is_awaited or not job.owed
                left = 0.0 if is_awaited else end - time.monotonic()
                job = self._jobs.get(timeout=max(left, 0.0))
        except queue.Empty:
            return batch, False
        return batch, True

    def _step(self, batch: list[Job]) -> None:
        self._look()
        if self._finish and self._connection is not None:
            self._finish = False
            self._checkpoint(self._connection)
        self._pay()
        if batch:
            self._commit_all(batch)

    def _commit_all(self, batch: list[Job]) -> None:
        try:
            self._commit(batch)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError) as error:
            # One job's own fault; the others must not suffer for it.
            if len(batch) == 1:
                self._log_failure(error)
                conclude(batch, Unavailable(f"the queue refused an item: {error}"))
                return
            for job in batch:
                self._commit_all([job])
        except (sqlite3.Error, OSError) as error:
            self._fail(batch, error)
        else:
            conclude(batch, None)

    def _commit(self, batch: Iterable[Job]) -> None:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect(self._path)
        connection.execute("BEGIN IMMEDIATE")
        try:
            for job in batch:
                for sql, values in job.statements:
                    connection.execute(sql, values)
                self._octets += job.octets + 4096
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self._committed = time.monotonic()

    def _fail(self, batch: list[Job], error: Exception) -> None:
        self._log_failure(error)
        self._drop_connection()
        self._owed += [job for job in batch if job.owed]
        reason = error if isinstance(error, GatepostError) else Unavailable(_reason(error))
        conclude([job for job in batch if not job.owed], reason)

    def _pay(self) -> None:
        """Write what earlier batches owe, in a transaction of its own."""
        owed, self._owed = self._owed, []
        if owed:
            self._commit_all(owed)

    def _look(self) -> None:
        """Notice what another process wrote (PRAGMA data_version tells others' writes only)."""
        now = time.monotonic()
        if now - self._looked < _LOOK or self._connection is None:
            return
        self._looked = now
        version = self._version()
        if version != self._seen:
            self._seen = version
            self._changed()

    def _version(self) -> int:
        assert self._connection is not None
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error as error:
                self._log_failure(error)

    def _log_failure(self, error: Exception) -> None:
        _log.error(Name.SERVICE_ERROR, service="store.writer", reason=_reason(error))

    def _clean(self) -> None:
        """Move the log into the database when nobody waits, from a connection of its own."""
        while not self._stopping.wait(_IDLE):
            idle = time.monotonic() - self._committed >= _IDLE
            if self._octets and (idle or self._octets >= _CHECKPOINT_AT):
                try:
                    connection = self._connect(self._path)
                    try:
                        self._checkpoint(connection)
                    finally:
                        connection.close()
                except (sqlite3.Error, OSError) as error:
                    self._log_failure(error)

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Move what is in the log now; never waits for readers or the writer.

        The log starts again from its beginning only once all of it is moved, and under
        steady load more has come meanwhile: then the writer itself moves that little rest.
        """
        before = self._octets
        busy, frames, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if busy or frames != moved:
            self._finish = frames >= _FINISH_AT
            return
        self._octets = max(self._octets - before, 0)
        self._finish = frames >= _FINISH_AT and threading.current_thread() is self._cleaner


def conclude(batch: Iterable[Job], error: Exception | None) -> None:
    """Tell whoever waits for these jobs how they ended."""
    waiting: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for job in batch:
        if job.after is not None:
            job.after(error)
        if job.future is not None and job.loop is not None:
            waiting.setdefault(job.loop, []).append(job.future)
    for loop, futures in waiting.items():
        try:
            loop.call_soon_threadsafe(_resolve, futures, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _resolve(futures: Iterable[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)


def _reason(error: Exception) -> str:
    return f"the queue cannot be written: {error}"
