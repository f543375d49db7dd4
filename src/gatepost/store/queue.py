"""The durable queue: what `accept` has returned survives a crash, sealed (RFC 5321 section 6.1).

Order of a message: body file fsync, folder fsync, row commit, and only then a reply.
Only accepting waits for the disk; a settlement that a crash swallows makes a duplicate,
never a loss.  What this process works on is leased in memory; the database is read for
due retries and after a restart.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from gatepost.errors import Unavailable
from gatepost.events import Name
from gatepost.flow.retry import Schedule
from gatepost.mail.content import Content
from gatepost.store import queue_database as database
from gatepost.store import queue_row
from gatepost.store.queue_item import Done, Item, NewItem, Record, Settlement
from gatepost.store.sealing import Seal
from gatepost.store.spool import IN_MEMORY, sync_folder
from gatepost.store.worker_queue import Recovered, WorkerQueue, ids, joined, lateness
from gatepost.store.writer import Connect, Job, Writer

_PRUNE_BATCH = 1000

_log = structlog.get_logger("gatepost.store")


class Queue(WorkerQueue):
    """The queue of one process: `<name>.db` and the folder `<name>.bodies` inside `folder`."""

    def __init__(
        self,
        folder: Path,
        seal: Seal,
        name: str = "0",
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        connect: Connect = database.connect,
    ) -> None:
        super().__init__(folder, seal, name, clock, database)
        self._path = folder / f"{name}.db"
        self._leased: set[int] = set()
        try:
            self._writer = Writer(self._path, connect=connect, changed=self._tell)
            self._reader = connect(self._path)
        except sqlite3.Error as error:
            self._unlock()
            raise Unavailable(f"the queue {self._path} cannot be opened: {error}") from error
        except BaseException:
            self._unlock()
            raise
        sync_folder(folder)
        ((last,),) = self._read(database.SELECT_LAST_NUMBER)
        self._next: int = last + 1

    async def accept(
        self,
        messages: Sequence[NewItem],
        records: Sequence[Record] = (),
        settlements: Sequence[Settlement] = (),
    ) -> tuple[Item, ...]:
        """Make items, records and settlements durable, all or nothing, then return the items.

        They are leased to the caller, who hands them to delivery or gives them back with
        `release`.  Raises Unavailable when nothing was stored.
        """
        now = self._clock()
        prepared: list[tuple[Item, bytes | None]] = []
        try:
            for message, id_ in zip(messages, ids(messages), strict=True):
                prepared.append(await self._prepare(message, id_, now))
        except BaseException:
            self._forget(item for item, _ in prepared)
            raise
        items = tuple(item for item, _ in prepared)
        job = Job(
            (
                *(queue_row.insert(item, sealed) for item, sealed in prepared),
                *(queue_row.insert_record(one) for one in records),
                *(queue_row.settle(one) for one in settlements),
            ),
            octets=sum(len(sealed or b"") for _, sealed in prepared),
            future=asyncio.get_running_loop().create_future(),
            after=lambda error: self._accepted(items, settlements, error),
        )
        await self._wait(job, items)
        return items

    def settle(self, *settlements: Settlement, records: Sequence[Record] = ()) -> None:
        """Write this with the next commit, whenever that is; returns at once."""
        statements = (
            *(queue_row.settle(one) for one in settlements),
            *(queue_row.insert_record(one) for one in records),
        )
        self._writer.post(
            Job(statements, owed=True, after=lambda error: self._settled(settlements, error))
        )

    async def flush(self) -> None:
        """Return when everything settled before is durable."""
        future = asyncio.get_running_loop().create_future()
        self._writer.post(Job((), future=future))
        await future

    def due(self, hop: str, now: datetime, limit: int) -> tuple[Item, ...]:
        """Lease up to `limit` items of this hop that are due, oldest first."""
        return self._lease(database.SELECT_DUE, (hop, queue_row.milliseconds(now)), limit)

    def late(self, hop: str, now: datetime, schedule: Schedule, limit: int) -> tuple[Item, ...]:
        """Lease items of a hop that is down whose author must hear of a delay or a failure."""
        return self._lease(database.SELECT_LATE, (hop, *lateness(now, schedule)), limit)

    def waiting(self, now: datetime, limit: int) -> tuple[Item, ...]:
        """Lease up to `limit` items that wait for a key and are due to be looked at."""
        return self._lease(database.SELECT_WAITING, (queue_row.milliseconds(now),), limit)

    def release(self, items: Iterable[Item]) -> None:
        """Give leases back; the items stay as they stand in the database."""
        self._leased.difference_update([item.number for item in items])

    def holds(self, item: Item) -> bool:  # noqa: ARG002 - other engines must look
        """Whether the item is still ours: always, the queue is one process's alone."""
        return True

    def gone(self, items: Iterable[Item]) -> frozenset[int]:
        """Numbers of those items that somebody deleted or put on hold meanwhile."""
        found = {}
        for item in items:
            found[item.number] = list(self._read(database.SELECT_STATE, (item.number,)))
        return frozenset(number for number, state in found.items() if state != [("active",)])

    def recover(self) -> Recovered:
        """Put folder and table in accord; items without a body become corrupt.

        At the start only, before anything is accepted: a body is written before its row.
        """
        kept = {path for (path,) in self._read(database.SELECT_PATHS_KEPT)}
        stored = self.spool.names()
        swept = self.spool.sweep()
        for name in stored - kept:
            self.spool.remove(name)
        lost = [row for row in self._read(database.SELECT_PATHS) if row[2] not in stored]
        for number, queue_id, path in lost:
            reason = f"the body file {path} is gone"
            _log.error(Name.SERVICE_ERROR, service="store.queue", queue_id=queue_id, reason=reason)
            self._give_up(number, reason)
        waiting = sum(n for (state, _), n in self.counts().items() if state == "active")
        return Recovered(waiting - len(lost), len(lost), swept + len(stored - kept))

    async def prune(self, retention: timedelta) -> int:
        """Remove records older than that, a little at a time; returns how many."""
        before = queue_row.milliseconds(self._clock() - retention)
        ((old,),) = self._read(database.SELECT_OLD_RECORDS, (before,))
        for _ in range(0, old, _PRUNE_BATCH):
            statement = (database.PRUNE_RECORDS, (before, _PRUNE_BATCH))
            self._writer.post(Job((statement,), owed=True))
            await self.flush()
        return int(old)

    def close(self) -> None:
        """Write everything settled and close the files; blocks until done."""
        self._writer.close()
        with self._reading:
            self._reader.close()
        self._unlock()

    async def _prepare(
        self, message: NewItem, id_: str, now: datetime
    ) -> tuple[Item, bytes | None]:
        bond = queue_row.bond(id_, message)
        if message.content.size > IN_MEMORY:
            name, size = await self._persisted(message.content, bond)
            content: Content = self.spool.open(name, size, bond)
            return self._item(message, self._numbered(), id_, now, content, path=name), None
        octets = joined(message.content)
        sealed = self._seal.seal(octets.data, bond)
        return self._item(message, self._numbered(), id_, now, octets), sealed

    def _numbered(self) -> int:
        """The next item's number, leased before its row exists, so that nobody finds it due."""
        number = self._next
        self._next += 1
        self._leased.add(number)
        return number

    async def _persisted(self, content: Content, bond: bytes) -> tuple[str, int]:
        """A body file; a thread cannot be stopped, so whoever gives up has its file removed."""
        work = asyncio.ensure_future(asyncio.to_thread(self.spool.persist, content, bond))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(self._unwanted)
            raise

    def _unwanted(self, work: asyncio.Future[tuple[str, int]]) -> None:
        if not work.cancelled() and work.exception() is None:
            with suppress(Unavailable):  # the next start sweeps it
                self.spool.remove(work.result()[0])

    async def _wait(self, job: Job, items: tuple[Item, ...]) -> None:
        assert job.future is not None
        try:
            self._writer.post(job)
        except Unavailable:
            self._forget(items)
            raise
        try:
            await job.future
        except asyncio.CancelledError:
            self.release(items)  # whoever waited is gone; what is stored will be found due
            with suppress(Unavailable):
                self._writer.post(Job((), owed=True, after=lambda _: self._tell()))
            raise

    def _accepted(
        self, items: Iterable[Item], settlements: Sequence[Settlement], error: Exception | None
    ) -> None:
        if error is not None:
            self._forget(items)
        else:
            self._settled(settlements, None)

    def _forget(self, items: Iterable[Item]) -> None:
        items = tuple(items)
        self.release(items)
        for item in items:
            self._remove_body(item)

    def _settled(self, settlements: Sequence[Settlement], error: Exception | None) -> None:
        self.release(one.item for one in settlements)
        for one in settlements:
            if error is None and isinstance(one, Done):
                self._remove_body(one.item)

    def _remove_body(self, item: Item) -> None:
        if item.path is None:
            return
        try:
            self.spool.remove(item.path)
        except Unavailable as error:  # the next start sweeps it
            _log.warning(Name.SERVICE_ERROR, service="store.queue", reason=str(error))

    def _lease(self, sql: str, values: tuple[object, ...], limit: int) -> tuple[Item, ...]:
        # A row may be settled and released while we read an older state of the table, so
        # whatever was leased or did not exist before the reading began is left alone.
        leased, newest = self._leased.copy(), self._next
        found: list[Item] = []
        for row in self._read(sql, (*values, limit + len(leased))):
            number = row[0]
            if number not in leased and number not in self._leased and number < newest:
                self._leased.add(number)
                found += self._restored(row, self._body)
            if len(found) == limit:
                break
        return tuple(found)

    def _give_up(self, number: int, reason: str) -> None:
        self._writer.post(Job(((database.PARK_ITEM, ("corrupt", reason, number)),), owed=True))

    def _body(self, row: queue_row.Row) -> Content:
        path = row[15]
        if path is None:
            return self._stored_body(row)
        return self.spool.open(path, queue_row.size(row), queue_row.bond_of(row))

    def _read(self, sql: str, values: tuple[object, ...] = ()) -> list[queue_row.Row]:
        with self._reading:
            try:
                return self._reader.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise Unavailable(f"the queue cannot be read: {error}") from error
