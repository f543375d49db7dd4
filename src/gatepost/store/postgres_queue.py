"""The queue of several nodes in one PostgreSQL: the same promises as `store.queue`.

What a node accepts or takes it holds, by its id in the row, until it settles or releases
it or its lease ends (`postgres_node`).  Rows are taken with FOR UPDATE SKIP LOCKED, so
nodes never wait for each other.  After the end of a lease a mail can be delivered twice,
never lost: the next hop has no part in the lease.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, assert_never

import psycopg
import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatepost.errors import Unavailable
from gatepost.events import Name
from gatepost.flow.retry import Schedule
from gatepost.mail.content import Content
from gatepost.store import postgres_body, queue_row
from gatepost.store import postgres_database as database
from gatepost.store.postgres_body import ChunkedBody
from gatepost.store.postgres_database import Connect, Connection
from gatepost.store.postgres_lease import DUE, LATE, WAITING, Taking
from gatepost.store.postgres_line import Lines
from gatepost.store.postgres_node import Node
from gatepost.store.postgres_schema import opened
from gatepost.store.postgres_writer import Body, Order, Writer
from gatepost.store.queue_item import Done, Item, NewItem, Parked, Record, Retried, Settlement
from gatepost.store.sealing import Seal
from gatepost.store.spool import IN_MEMORY
from gatepost.store.worker_queue import Recovered, WorkerQueue, ids, joined, lateness

LEASE = timedelta(seconds=60)

_FAREWELL = 3.0  # seconds for the last words to a database that does not answer
_PRUNE_BATCH = 1000
_AUDIT = 60.0  # seconds after a failure during which strays are looked for
_NUMBERS = 32  # bits of an item's number below its node's

_log = structlog.get_logger("gatepost.store")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One item on its way into the table."""

    item: Item
    sealed: bytes  # the content, or the key of the rows
    body: Body | None


class PostgresQueue(WorkerQueue):
    """One worker's part in the shared queue; `folder` only holds bodies that are arriving."""

    def __init__(
        self,
        address: str,
        folder: Path,
        seal: Seal,
        name: str = "0",
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        connect: Connect = database.connect,
        lease: timedelta = LEASE,
    ) -> None:
        super().__init__(folder, seal, name, clock, database)
        self._address = address
        self._connect = connect = Lines(connect)
        self._held: dict[int, int] = {}  # item number: the id we hold it under
        self._denied: set[int] = set()  # refused with an error, yet perhaps committed
        self._audit_until = 0.0
        self._numbers = count(1)
        try:
            self._reader: Connection | None = opened(address, connect)
            identity = f"{_identity(self._lock)}/{name}"
            self._node = Node(
                address,
                connect,
                identity,
                lease.total_seconds(),
                changed=self._tell,
                tended=self._tend,
            )
            write = database.called(connect, identity)
            self._writer = Writer(
                address, write, name=name, failed=self._failed, regained=self._audit
            )
            # Large bodies take their time: not that of everybody else's commit.
            self._bulk = Writer(address, write, name=f"{name} bulk", batch=1, failed=self._failed)
        except psycopg.Error as error:
            self._unlock()
            raise Unavailable(f"the queue's database cannot be used: {error}") from error
        except BaseException:
            self._unlock()
            raise
        self._node.start()

    async def accept(
        self,
        messages: Sequence[NewItem],
        records: Sequence[Record] = (),
        settlements: Sequence[Settlement] = (),
    ) -> tuple[Item, ...]:
        """Make items, records and settlements durable, all or nothing, then return the items.

        Raises Unavailable when nothing was stored.
        """
        now, holder = self._clock(), self._node.id
        prepared: list[_Prepared] = []
        try:
            for message, id_ in zip(messages, ids(messages), strict=True):
                prepared.append(self._prepare(message, id_, now, holder))
        except BaseException:
            self._forget(one.item for one in prepared)
            raise
        items = tuple(one.item for one in prepared)
        order = Order(
            (
                *(_insert(one, holder) for one in prepared),
                *(_insert_record(one) for one in records),
                *(self._settle(one) for one in settlements),
            ),
            octets=sum(len(one.sealed) for one in prepared),
            future=asyncio.get_running_loop().create_future(),
            holder=holder,
            ours=tuple(one.item.number for one in settlements),
            bodies=tuple(one.body for one in prepared if one.body is not None),
        )
        order.after = lambda error: self._accepted(order, items, settlements, error)
        await self._wait(order, items)
        return items

    def settle(self, *settlements: Settlement, records: Sequence[Record] = ()) -> None:
        """Write this with the next commit, whenever that is; returns at once."""
        statements = (
            *(self._settle(one) for one in settlements if not isinstance(one, Done)),
            *(_insert_record(one) for one in records),
        )
        done = [one.item.number for one in settlements if isinstance(one, Done)]
        self._writer.post(
            Order(
                statements,
                owed=True,
                after=lambda _: self._forget(s.item for s in settlements),
                done=[(self._held.get(number, self._node.id), number) for number in done],
            )
        )

    async def flush(self) -> None:
        """Return when everything settled before is durable."""
        future = asyncio.get_running_loop().create_future()
        self._writer.post(Order((), future=future))
        await future

    def due(self, hop: str, now: datetime, limit: int) -> tuple[Item, ...]:
        """Lease up to `limit` items of this hop that are due, oldest first."""
        return self._lease(DUE, hop, (queue_row.milliseconds(now),), limit)

    def late(self, hop: str, now: datetime, schedule: Schedule, limit: int) -> tuple[Item, ...]:
        """Lease items of a hop that is down whose author must hear of a delay or a failure."""
        return self._lease(LATE, hop, lateness(now, schedule), limit)

    def waiting(self, now: datetime, limit: int) -> tuple[Item, ...]:
        """Lease up to `limit` items that wait for a key and are due to be looked at."""
        return self._lease(WAITING, "", (queue_row.milliseconds(now),), limit)

    def release(self, items: Iterable[Item]) -> None:
        """Give leases back; the items stay as they stand in the database."""
        numbers: dict[int, list[int]] = {}
        for item in items:
            holder = self._held.pop(item.number, None)
            if holder is not None:
                numbers.setdefault(holder, []).append(item.number)
        for holder, released in numbers.items():
            try:
                self._writer.post(Order(((database.RELEASED, (released, holder)),), owed=True))
            except Unavailable:  # closed: the node's end frees them
                return

    def holds(self, item: Item) -> bool:
        """Whether the lease it was taken under stands for sure: who slept must not deliver."""
        return self._node.is_sure and self._held.get(item.number) == self._node.id

    def gone(self, items: Iterable[Item]) -> frozenset[int]:
        """Numbers of those items that somebody deleted, put on hold or took over meanwhile."""
        numbers = [item.number for item in items]
        rows = self._read(database.SELECT_OURS, (numbers,))
        ours = {number for number, holder in rows if holder == self._held.get(number)}
        return frozenset(numbers) - ours

    def has_room(self) -> bool:
        """Whether the database is there and arriving bodies find room; asked before DATA."""
        return self._writer.is_up and super().has_room()

    def recover(self) -> Recovered:
        """Sweep the folder of arriving bodies; the database is in accord by its constraints."""
        waiting = sum(n for (state, _), n in self.counts().items() if state == "active")
        return Recovered(waiting, 0, self.spool.sweep())

    async def prune(self, retention: timedelta) -> int:
        """Remove records older than that, a little at a time; returns how many."""
        before = queue_row.milliseconds(self._clock() - retention)
        total = 0
        while True:
            removed = await asyncio.to_thread(self._writer.call, _pruning(before))
            total += removed
            if removed < _PRUNE_BATCH:
                return total

    def close(self) -> None:
        """Write everything settled and give the rest to the other nodes; blocks until done.

        A database that does not answer gets some seconds; then the others wait for the lease.
        """
        cutting = threading.Timer(_FAREWELL, self._connect.cut)
        cutting.start()
        try:
            self._bulk.close()
            self._writer.close()
            self._node.close()
        finally:
            cutting.cancel()
        self._connect.cut()  # whoever still reads has nobody to tell
        with self._reading:
            self._drop_reader()
        self._unlock()

    def _prepare(self, message: NewItem, id_: str, now: datetime, holder: int) -> _Prepared:
        number = holder << _NUMBERS | next(self._numbers)
        content, body, bond = message.content, None, queue_row.bond(id_, message)
        if content.size > IN_MEMORY:
            key = AESGCM.generate_key(256)
            sealed = self._seal.seal(key, postgres_body.bound(id_, bond))
            body = Body(number, lambda: postgres_body.sealed_rows(message.content, key))
            content = self._chunked(number, id_, bond, content.size)
        else:
            octets = joined(content)
            sealed = self._seal.seal(octets.data, bond)
            content = octets
        item = self._item(message, number, id_, now, content)
        self._held[number] = holder
        return _Prepared(item, sealed, body)

    async def _wait(self, order: Order, items: tuple[Item, ...]) -> None:
        assert order.future is not None
        try:
            (self._bulk if order.bodies else self._writer).post(order)
        except Unavailable:
            self._forget(items)
            raise
        try:
            await order.future
        except asyncio.CancelledError:
            order.abandoned = True  # whoever waited is gone; what is stored will be found due
            self.release(items)
            raise

    def _accepted(
        self,
        order: Order,
        items: Iterable[Item],
        settlements: Sequence[Settlement],
        error: Exception | None,
    ) -> None:
        if error is not None:
            if not settlements:  # the peer sends it again: what was committed after all must go
                self._denied.update(item.number for item in items)
            self._forget(items)
            return
        self._forget(one.item for one in settlements)
        if order.abandoned:
            self._held.update((item.number, order.holder) for item in items)
            self.release(items)

    def _settle(self, settlement: Settlement) -> queue_row.Statement:
        values = queue_row.settle(settlement)[1]
        holder = self._held.get(settlement.item.number, self._node.id)
        match settlement:
            case Done():
                return database.DONE, (*values, holder)
            case Retried():
                return database.RETRIED, (*values, holder)
            case Parked(_, state, reason):
                number = settlement.item.number
                return database.PARKED, (state, _clean(reason), number, holder)
            case _:
                assert_never(settlement)

    def _forget(self, items: Iterable[Item]) -> None:
        for item in items:
            self._held.pop(item.number, None)

    def _failed(self, has_ended: bool) -> None:  # noqa: FBT001 - a callback's one argument
        """Something may stand in the table that nobody here knows of."""
        self._audit_until = time.monotonic() + _AUDIT
        self._node.doubt(has_ended=has_ended)

    def _tend(self) -> None:
        if time.monotonic() < self._audit_until:
            try:
                self._writer.call(self._audit)
            except Unavailable:  # the next look tries again
                return
        else:
            self._denied.clear()

    def _audit(self, connection: Connection) -> None:
        """Free rows held in this node's name that nobody here works on; runs between commits."""
        holder = self._node.id
        rows = connection.execute(database.SELECT_HELD, (holder,)).fetchall()
        found: set[int] = {int(str(row[0])) for row in rows}
        stray = found.difference(self._held.copy())
        denied, stray = stray & self._denied, stray - self._denied
        if denied:
            connection.execute(database.DELETED, (list(denied), holder))
        if stray:
            _log.warning(Name.SERVICE_ERROR, service="store.postgres", reason=f"{len(stray)} stray")
            connection.execute(database.RELEASED, (list(stray), holder))
        self._denied -= denied

    def _lease(
        self, sql: tuple[str, str], hop: str, values: tuple[object, ...], limit: int
    ) -> tuple[Item, ...]:
        taking = Taking(self._node.id, self._held, sql, (hop, *values), limit)
        try:
            rows = self._writer.call(taking)
        except BaseException:
            for number in taking.taken:
                self._held.pop(number, None)
            raise
        found = [item for row in rows for item in self._taken(row)]
        return tuple(sorted(found, key=lambda item: (item.due, item.number)))

    def _taken(self, row: queue_row.Row) -> tuple[Item, ...]:
        return self._restored(row[:-1], lambda _: self._body(row))

    def _give_up(self, number: int, reason: str) -> None:
        holder = self._held.pop(number, self._node.id)
        statement = (database.PARKED, ("corrupt", reason, number, holder))
        self._writer.post(Order((statement,), owed=True))

    def _body(self, row: queue_row.Row) -> Content:
        if not row[-1]:
            return self._stored_body(row)
        return self._chunked(row[0], row[1], queue_row.bond_of(row), queue_row.size(row))

    def _chunked(self, number: int, id_: str, bond: bytes, size: int) -> ChunkedBody:
        return ChunkedBody(
            lambda: _single(self._read(database.SELECT_BODY, (number,))),
            lambda nth: _single(self._read(database.SELECT_CHUNK, (number, nth))),
            id_,
            bond,
            size,
            seal=self._seal,
        )

    def _read(self, sql: str, values: tuple[object, ...] = ()) -> list[Any]:
        with self._reading:
            # An open connection may have gone while nobody used it; a new one has not.
            for attempt in (1, 2) if self._reader is not None else (2,):
                try:
                    if self._reader is None:
                        self._reader = self._connect(self._address)
                    return self._reader.execute(sql.encode(), values).fetchall()
                except psycopg.Error as error:
                    self._drop_reader()
                    if attempt == 2:
                        raise Unavailable(f"the queue cannot be read: {error}") from error
        raise AssertionError

    def _drop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()


def _insert(one: _Prepared, holder: int) -> queue_row.Statement:
    values = queue_row.insert(one.item, one.sealed)[1]
    chunked = one.body is not None
    return database.INSERT_ITEM, (*values, chunked, holder)


def _insert_record(record: Record) -> queue_row.Statement:
    return database.INSERT_RECORD, queue_row.insert_record(record)[1]


def _pruning(before: int) -> Callable[[Connection], int]:
    return lambda connection: (
        connection.execute(database.PRUNE_RECORDS, (before, _PRUNE_BATCH)).rowcount
    )


def _identity(number: int) -> str:
    """What tells this folder from every other node's: written once into its lock file."""
    found = os.pread(number, 64, 0).decode("ascii", "replace")
    if not found:
        found = secrets.token_hex(16)
        os.pwrite(number, found.encode(), 0)
        os.fsync(number)
    return found


def _single(rows: list[tuple[bytes | None]]) -> bytes | None:
    return rows[0][0] if rows else None


def _clean(text: str) -> str:
    return text.replace("\0", "")
