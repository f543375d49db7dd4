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
from gatepost.store.spool import remove_body

Changes = tuple[queue_row.Statement, ...]  # the change itself, then what it entails


class Control:
    """Every process's queue in one folder; bodies stay sealed."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._folder = folder
        self._clock = clock

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

    def retry(self, id_: str) -> tuple[Item, ...]:
        """Make items due now, and have hops that are down tried at once."""
        now = queue_row.milliseconds(self._clock())
        return self._each(
            id_, change.RETRIED, lambda item: ((database.MAKE_DUE, (now, item.number)),)
        )

    def hold(self, id_: str, cause: Cause = UNSAID) -> tuple[Item, ...]:
        """Keep items until they are released."""
        return self._moved("hold", id_, change.HELD, cause, lambda _: "hold")

    def quarantine(self, id_: str, cause: Cause) -> tuple[Item, ...]:
        """Keep items until somebody releases or deletes them with a reason."""
        return self._moved("quarantine", id_, change.QUARANTINED, cause, lambda _: "quarantine")

    def release(self, id_: str, cause: Cause = UNSAID) -> tuple[Item, ...]:
        """Let kept items go on; corrupt ones are tried again, too."""
        return self._moved("release", id_, change.RELEASED, cause, change.freed)

    def delete(self, id_: str, cause: Cause = UNSAID) -> tuple[Item, ...]:
        """Remove items for ever; nobody is told."""
        now = self._clock()
        deleted = self._each(
            id_,
            change.DELETED,
            lambda item: (
                (database.DELETE_ITEM, (item.number,)),
                queue_row.insert_record(change.record("delete", item, cause, now)),
            ),
        )
        for path in self._paths():
            for item in deleted:
                if item.path is not None:
                    remove_body(path.with_suffix(".bodies"), item.path)
        return deleted

    def _moved(
        self,
        verb: str,
        id_: str,
        states: tuple[State, ...],
        cause: Cause,
        to: Callable[[Item], State],
    ) -> tuple[Item, ...]:
        now = self._clock()
        reason = change.why(verb, cause)
        return self._each(
            id_,
            states,
            lambda item: (
                (
                    database.MOVE,
                    (to(item), reason, queue_row.milliseconds(now), item.number, item.state),
                ),
                queue_row.insert_record(change.record(verb, item, cause, now)),
            ),
        )

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
