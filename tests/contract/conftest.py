"""A throw-away PostgreSQL per test process, and one queue of each engine to put to the test."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from tests.peers.postgres import Schema, Server, server
from tests.unit.store.box import Clock, TestSeal

from gatepost.store import postgres_database, queue_database
from gatepost.store.contract import MailQueue, QueueControl
from gatepost.store.postgres_control import PostgresControl
from gatepost.store.postgres_database import Connection
from gatepost.store.postgres_queue import LEASE, PostgresQueue
from gatepost.store.queue import Queue
from gatepost.store.queue_control import Control

__all__ = ["server"]


class Engine(Protocol):
    """An engine in the hands of a test."""

    clock: Clock

    def open(self, node: str = "0") -> MailQueue:
        """A queue as one worker opens it."""
        ...

    async def shut(self, queue: MailQueue) -> None:
        """Close one."""
        ...

    def control(self) -> QueueControl:
        """The administrator's side."""
        ...

    def break_commits(self, broken: threading.Event) -> None:
        """Queues opened from now on fail to commit while this is set."""
        ...

    def damage(self, id_: str) -> None:
        """Change an item's stored body."""
        ...

    def rewrite(self, id_: str, column: str, old: str, new: str) -> None:
        """Change an item's row as somebody with the database, but without the key, could."""
        ...

    def raw(self) -> bytes:
        """Every octet the engine stored on the disk."""
        ...

    def end(self) -> None:
        """Close what is open."""
        ...


def _failing(
    connection: type[Any], broken: threading.Event, error: Callable[[], Exception]
) -> type[Any]:
    """A connection that fails to commit while told so."""

    def execute(self: Any, sql: Any, *values: Any, **options: Any) -> Any:
        if sql == "COMMIT" and broken.is_set():
            raise error()
        return connection.execute(self, sql, *values, **options)

    return type("Failing", (connection,), {"execute": execute})


@dataclass
class Sqlite:
    folder: Path
    clock: Clock = field(default_factory=Clock)
    connect: Callable[[Path], sqlite3.Connection] = queue_database.connect
    queues: list[MailQueue] = field(default_factory=list)

    def open(self, node: str = "0") -> MailQueue:
        queue = Queue(self.folder, TestSeal(), node, clock=self.clock, connect=self.connect)
        self.queues.append(queue)
        return queue

    async def shut(self, queue: MailQueue) -> None:
        self.queues.remove(queue)
        await asyncio.to_thread(queue.close)

    def control(self) -> QueueControl:
        return Control(self.folder, clock=self.clock)

    def break_commits(self, broken: threading.Event) -> None:
        kind = _failing(
            sqlite3.Connection, broken, lambda: sqlite3.OperationalError("disk I/O error")
        )

        def connect(path: Path) -> sqlite3.Connection:
            made: sqlite3.Connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, factory=kind
            )
            made.execute("PRAGMA journal_mode = WAL")
            return made

        self.connect = connect

    def damage(self, id_: str) -> None:
        with sqlite3.connect(self.folder / "0.db") as connection:
            ((path, body),) = connection.execute("SELECT path, body FROM item WHERE id = ?", (id_,))
            if path is None:
                changed = bytes([*body[:-1], body[-1] ^ 1])
                connection.execute("UPDATE item SET body = ? WHERE id = ?", (changed, id_))
        if path is not None:
            file = self.folder / "0.bodies" / path
            octets = file.read_bytes()
            file.write_bytes(octets[:-1] + bytes([octets[-1] ^ 1]))

    def rewrite(self, id_: str, column: str, old: str, new: str) -> None:
        with sqlite3.connect(self.folder / "0.db") as connection:
            done = connection.execute(
                f"UPDATE item SET {column} = replace({column}, ?, ?) WHERE id = ?"
                f" AND instr({column}, ?)",
                (old, new, id_, old),
            )
            assert done.rowcount == 1

    def raw(self) -> bytes:
        return b"".join(path.read_bytes() for path in self.folder.rglob("*") if path.is_file())

    def end(self) -> None:
        for queue in self.queues:
            queue.close()


@dataclass
class Postgres:
    folder: Path
    schema: Schema
    cluster: Path
    address: str = ""
    clock: Clock = field(default_factory=Clock)
    lease: timedelta = LEASE
    connect: Callable[[str], Connection] = postgres_database.connect
    queues: list[MailQueue] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.address = self.address or self.schema.conninfo

    def open(self, node: str = "0") -> MailQueue:
        queue = PostgresQueue(
            self.address,
            self.folder / node,
            TestSeal(),
            clock=self.clock,
            connect=self.connect,
            lease=self.lease,
        )
        self.queues.append(queue)
        return queue

    async def shut(self, queue: MailQueue) -> None:
        self.queues.remove(queue)
        await asyncio.to_thread(queue.close)

    def control(self) -> QueueControl:
        return PostgresControl(self.address, clock=self.clock)

    def break_commits(self, broken: threading.Event) -> None:
        kind = _failing(
            psycopg.Connection, broken, lambda: psycopg.OperationalError("disk I/O error")
        )
        self.connect = lambda address: postgres_database.prepared(
            kind.connect(address, autocommit=True)
        )

    def damage(self, id_: str) -> None:
        with self.session() as connection:
            row = connection.execute(
                "SELECT number, chunked FROM item WHERE id = %s", (id_,)
            ).fetchone()
            assert row is not None
            table, column = ("chunk", "data") if row[1] else ("item", "body")
            connection.execute(
                f"UPDATE {table} SET {column} = set_byte({column}, 20,"
                f" 255 - get_byte({column}, 20)) WHERE number = {row[0]}".encode()
            )

    def rewrite(self, id_: str, column: str, old: str, new: str) -> None:
        with self.session() as connection:
            done = connection.execute(
                f"UPDATE item SET {column} = replace({column}::text, %s, %s)::"
                f"{'boolean' if column == 'protected' else 'text'}"
                f" WHERE id = %s AND strpos({column}::text, %s) > 0".encode(),
                (old, new, id_, old),
            )
            assert done.rowcount == 1

    def raw(self) -> bytes:
        with self.session() as connection:
            connection.execute("CHECKPOINT")
        octets = []
        for part in ("base", "pg_wal"):
            for path in (self.cluster / part).rglob("*"):
                with suppress(FileNotFoundError, IsADirectoryError):  # the server tidies up
                    octets.append(path.read_bytes())
        return b"".join(octets)

    def end(self) -> None:
        for queue in self.queues:
            queue.close()

    def session(self) -> Connection:
        return psycopg.connect(self.address, autocommit=True)

    def cut(self) -> int:
        """End every session with the database but our own; returns how many."""
        with self.session() as connection:
            return connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
                " AND application_name LIKE 'gatepost%'"
            ).rowcount


@pytest.fixture
def postgres(server: Server, tmp_path: Path) -> Iterator[Postgres]:
    """The shared queue, in a schema of this test's own."""
    engine = Postgres(tmp_path, server.fresh(), server.data)
    yield engine
    engine.end()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Each engine in turn."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres")
        return
    engine = Sqlite(tmp_path)
    yield engine
    engine.end()
