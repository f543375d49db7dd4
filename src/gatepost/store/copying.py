"""A whole queue on its way from one place to another: rows as values, bodies as octets.

Numbers, leases and seals belong to the place and stay there; everything else is kept,
down to each recipient's last reply.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from gatepost.errors import ConfigError, Unavailable
from gatepost.mail.content import Content, join
from gatepost.store import queue_database as database
from gatepost.store import queue_row
from gatepost.store.queue_body import StoredBody, UnreadBody, bound
from gatepost.store.sealing import Seal
from gatepost.store.spool import IN_MEMORY, Spool

FIRST: Final = "0"  # the queue of the first worker takes everything; others may adopt it
_BATCH: Final = 500
SELECT_RECORDS: Final = "SELECT queue_id, at, name, data FROM record ORDER BY number"


@dataclass(frozen=True, slots=True)
class Entry:
    """One item: `values` are the columns from id to size, as they stand."""

    values: tuple[Any, ...]
    content: Content

    @property
    def id(self) -> str:
        """The item's id."""
        return str(self.values[0])

    @property
    def bond(self) -> bytes:
        """What its body is bound to, wherever it stands; raises Tampered."""
        return queue_row.bond_of((0, *self.values, None))


class Source(Protocol):
    """A queue that is read in one state, while others go on working on it."""

    def items(self) -> Iterator[Entry]:
        """Every item; reading a content raises Corrupt when it is damaged, or delivered by now."""
        ...

    def records(self) -> Iterator[list[tuple[Any, ...]]]:
        """Every record, in batches."""
        ...


class Target(Protocol):
    """An empty queue to fill."""

    def add(self, entry: Entry) -> None:
        """Take an item."""
        ...

    def add_records(self, rows: list[tuple[Any, ...]]) -> None:
        """Take records."""
        ...


class FileSource:
    """The files of every worker."""

    def __init__(self, connections: list[tuple[Path, sqlite3.Connection]], seal: Seal) -> None:
        self._connections, self._seal = connections, seal

    def items(self) -> Iterator[Entry]:
        """Every item."""
        for path, connection in self._connections:
            bodies = path.with_suffix(".bodies")
            for row in connection.execute(database.SELECT_ALL):
                yield Entry(tuple(row[1:15]), self._content(row, bodies, connection))

    def records(self) -> Iterator[list[tuple[Any, ...]]]:
        """Every record."""
        for _, connection in self._connections:
            rows = connection.execute(SELECT_RECORDS)
            while batch := rows.fetchmany(_BATCH):
                yield batch

    def _content(
        self, row: tuple[Any, ...], bodies: Path, connection: sqlite3.Connection
    ) -> Content:
        size = queue_row.size(row)
        try:
            bond = queue_row.bond_of(row)
        except (ValueError, TypeError, LookupError):  # a damaged row keeps no other back
            return UnreadBody(size)
        if row[15] is not None:
            return Spool(bodies, self._seal).open(row[15], size, bond)
        read = _reader(connection, row[0])
        return StoredBody(read, row[1], bond, size, self._seal)


@contextmanager
def reading(folder: Path, seal: Seal) -> Iterator[FileSource]:
    """All files in one state each."""
    opened: list[tuple[Path, sqlite3.Connection]] = []
    try:
        for path in sorted(folder.glob("*.db")):
            connection = database.connect(path)
            opened.append((path, connection))
            database.migrate(connection)
            connection.execute("BEGIN")
        yield FileSource(opened, seal)
    except sqlite3.Error as error:
        raise Unavailable(f"the queue in {folder} cannot be read: {error}") from error
    finally:
        for _, connection in opened:
            connection.close()


class FileTarget:
    """One worker's new files."""

    def __init__(self, connection: sqlite3.Connection, spool: Spool, seal: Seal) -> None:
        self._connection, self._spool, self._seal = connection, spool, seal
        self._number = 0

    def add(self, entry: Entry) -> None:
        """Take an item."""
        path, sealed, bond = None, None, entry.bond
        if entry.content.size > IN_MEMORY:
            path, _ = self._spool.persist(entry.content, bond)
        else:
            sealed = self._seal.seal(join(entry.content), bond or bound(entry.id))
        self._number += 1
        self._connection.execute(database.INSERT_ITEM, (self._number, *entry.values, path, sealed))

    def add_records(self, rows: list[tuple[Any, ...]]) -> None:
        """Take records."""
        self._connection.executemany(database.INSERT_RECORD, rows)


@contextmanager
def filling(folder: Path, seal: Seal) -> Iterator[FileTarget]:
    """A new queue, durable at the end; raises ConfigError when there is one already."""
    if left := sorted(folder.glob("*.db")):
        raise ConfigError(f"there is a queue already: {left[0]}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = database.connect(folder / f"{FIRST}.db")
    try:
        database.migrate(connection)
        connection.execute("BEGIN")
        yield FileTarget(connection, Spool(folder / f"{FIRST}.bodies", seal), seal)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise Unavailable(f"the queue in {folder} cannot be written: {error}") from error
    finally:
        connection.close()


def _reader(connection: sqlite3.Connection, number: int) -> Callable[[], list[tuple[bytes]]]:
    return lambda: connection.execute(database.SELECT_BODY, (number,)).fetchall()
