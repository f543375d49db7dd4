"""The shared queue on its way to another place, see `copying`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatepost.errors import ConfigError, Unavailable
from gatepost.mail.content import Content, join
from gatepost.store import postgres_body, queue_row
from gatepost.store import postgres_database as database
from gatepost.store.copying import SELECT_RECORDS, Entry
from gatepost.store.postgres_database import Connection
from gatepost.store.postgres_schema import opened
from gatepost.store.queue_body import StoredBody, UnreadBody, bound
from gatepost.store.sealing import Seal
from gatepost.store.spool import IN_MEMORY

_BATCH = 100


class PostgresSource:
    """The queue of all nodes."""

    def __init__(self, connection: Connection, seal: Seal) -> None:
        self._connection, self._seal = connection, seal

    def items(self) -> Iterator[Entry]:
        """Every item."""
        with self._connection.cursor("gatepost_items") as rows:
            rows.itersize = _BATCH
            rows.execute(database.SELECT_ALL)
            for row in rows:
                yield Entry(row[1:15], self._content(row))

    def records(self) -> Iterator[list[tuple[Any, ...]]]:
        """Every record."""
        with self._connection.cursor("gatepost_records") as rows:
            rows.execute(SELECT_RECORDS)
            while batch := rows.fetchmany(_BATCH):
                yield batch

    def _content(self, row: tuple[Any, ...]) -> Content:
        number, id_, size = row[0], row[1], queue_row.size(row)
        try:
            bond = queue_row.bond_of(row[:-1])
        except (ValueError, TypeError, LookupError):  # a damaged row keeps no other back
            return UnreadBody(size)
        body = self._reader(number)
        if not row[-1]:
            return StoredBody(lambda: [(one,) for one in body()], id_, bond, size, self._seal)
        return postgres_body.ChunkedBody(
            lambda: next(iter(body()), None),
            lambda nth: self._chunk(number, nth),
            id_,
            bond,
            size,
            seal=self._seal,
        )

    def _reader(self, number: int) -> Callable[[], list[bytes]]:
        def read() -> list[bytes]:
            rows = self._connection.execute(database.SELECT_BODY, (number,)).fetchall()
            return [bytes(one) for (one,) in rows if isinstance(one, bytes | memoryview)]

        return read

    def _chunk(self, number: int, nth: int) -> bytes | None:
        row = self._connection.execute(database.SELECT_CHUNK, (number, nth)).fetchone()
        return bytes(row[0]) if row and isinstance(row[0], bytes | memoryview) else None


@contextmanager
def reading(address: str, seal: Seal) -> Iterator[PostgresSource]:
    """Everything in one state."""
    connection = opened(address, database.connect)
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield PostgresSource(connection, seal)
    except psycopg.Error as error:
        raise Unavailable(f"the queue's database cannot be read: {error}") from error
    finally:
        connection.close()


class PostgresTarget:
    """An empty shared queue; nobody holds what is put there."""

    def __init__(self, connection: Connection, seal: Seal) -> None:
        self._connection, self._seal = connection, seal
        self._number = 0

    def add(self, entry: Entry) -> None:
        """Take an item."""
        self._number += 1
        bond, is_chunked = entry.bond, entry.content.size > IN_MEMORY
        if is_chunked:
            key = AESGCM.generate_key(256)
            sealed = self._seal.seal(key, postgres_body.bound(entry.id, bond))
        else:
            key = b""
            sealed = self._seal.seal(join(entry.content), bond or bound(entry.id))
        values = [*entry.values]
        for place in _FLAGS:
            values[place] = bool(values[place])
        self._connection.execute(
            database.INSERT_ITEM, (self._number, *values, None, sealed, is_chunked, None)
        )
        if is_chunked:
            for nth, row in enumerate(postgres_body.sealed_rows(entry.content, key)):
                self._connection.execute(database.INSERT_CHUNK, (self._number, nth, row))

    def add_records(self, rows: list[tuple[Any, ...]]) -> None:
        """Take records."""
        with self._connection.cursor() as cursor:
            cursor.executemany(database.INSERT_RECORD, rows)


_FLAGS = (8, 9)  # warned, protected


@contextmanager
def filling(address: str, seal: Seal) -> Iterator[PostgresTarget]:
    """Fill an empty queue in one transaction; raises ConfigError when there is mail."""
    connection = opened(address, database.connect)
    try:
        with connection.transaction():
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            if connection.execute("SELECT 1 FROM item LIMIT 1").fetchone():
                raise ConfigError("the queue's database holds mail already")
            yield PostgresTarget(connection, seal)
            connection.execute(database.NUDGE)
    except psycopg.Error as error:
        raise Unavailable(f"the queue's database cannot be written: {error}") from error
    finally:
        connection.close()
