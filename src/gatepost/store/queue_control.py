"""What an administrator does to the queue from another process, while `serve` runs.

Each call is one short transaction; the serving process notices within a second
(`PRAGMA data_version`).  An id is an item's id, or a queue id for every item of that message.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from gatepost.errors import Unavailable
from gatepost.store import queue_change as change
from gatepost.store import queue_database as database
from gatepost.store import queue_row
from gatepost.store.queue_body import UnreadBody
from gatepost.store.queue_change import ALL, UNSAID, Cause
from gatepost.store.queue_item import Item, Record, State
from gatepost.store.queue_verb import Changes, Dialect, Verbs
from gatepost.store.spool import remove_body

_SQL = Dialect(database.MAKE_DUE, database.MOVE, database.DELETE_ITEM, database.INSERT_RECORD)


class Control(Verbs):
    """Every process's queue in one folder; bodies stay sealed."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(_SQL, clock)
        self._folder = folder

    def list(self) -> tuple[Item, ...]:
        """Every item, oldest first."""
        found = [item for path in self._paths() for item in _read(path, database.SELECT_ALL)]
        return tuple(sorted(found, key=lambda item: (item.created, item.number)))

    def show(self, id_: str) -> tuple[Item, ...]:
        """The items with this id; none when there is no such thing."""
        return tuple(item for _, item in self._named(id_))

    def records(self, queue_id: str) -> tuple[Record, ...]:
        """What was decided and what happened about a message, oldest first."""
        found: list[Record] = []
        for path in self._paths():
            with _opened(path) as connection:
                rows = connection.execute(database.SELECT_RECORDS, (queue_id,)).fetchall()
            found += [queue_row.record(row) for row in rows]
        return tuple(sorted(found, key=lambda one: one.at))

    def delete(self, id_: str, cause: Cause = UNSAID) -> tuple[Item, ...]:
        """Remove items for ever, with their bodies; nobody is told."""
        deleted = super().delete(id_, cause)
        for path in self._paths():
            for item in deleted:
                if item.path is not None:
                    remove_body(path.with_suffix(".bodies"), item.path)
        return deleted

    def _each(
        self, id_: str, states: tuple[State, ...], changing: Callable[[Item], Changes]
    ) -> tuple[Item, ...]:
        changed: list[Item] = []
        for path in self._paths():
            items = [
                i for p, i in self._named(id_) if p == path and change.concerns(id_, i, states)
            ]
            if not items:
                continue
            with _opened(path) as connection, _transaction(connection):
                for item in items:
                    (sql, values), *others = changing(item)
                    if connection.execute(sql, values).rowcount:
                        changed.append(item)
                        for more, given in others:
                            connection.execute(more, given)
                connection.execute(database.NUDGE)
        return tuple(changed)

    def _named(self, id_: str) -> Iterator[tuple[Path, Item]]:
        for path in self._paths():
            if id_ == ALL:
                found = _read(path, database.SELECT_ALL)
            else:
                found = _read(path, database.SELECT_NAMED, (id_, id_))
            for item in found:
                yield path, item

    def _paths(self) -> tuple[Path, ...]:
        return tuple(sorted(self._folder.glob("*.db")))


def holds_mail(path: Path) -> bool:
    """Whether anything stands in one queue's file."""
    with _opened(path) as connection:
        ((found,),) = connection.execute("SELECT EXISTS (SELECT 1 FROM item)")
        return bool(found)


def _read(path: Path, sql: str, values: tuple[object, ...] = ()) -> tuple[Item, ...]:
    with _opened(path) as connection:
        rows = connection.execute(sql, values).fetchall()
    return tuple(
        queue_row.restored(row, lambda one: UnreadBody(queue_row.size(one))) for row in rows
    )


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        connection = database.connect(path)
    except sqlite3.Error as error:
        raise Unavailable(f"the queue {path} cannot be opened: {error}") from error
    try:
        database.migrate(connection)
        yield connection
    except sqlite3.Error as error:
        raise Unavailable(f"the queue {path} is busy or damaged: {error}") from error
    finally:
        connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
