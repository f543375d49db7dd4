"""What an administrator does to the shared queue, from any machine that reaches the database.

Each call is one short transaction; every node notices within a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg

from gatepost.errors import Unavailable
from gatepost.store import postgres_database as database
from gatepost.store import queue_change as change
from gatepost.store import queue_row
from gatepost.store.postgres_database import Connection
from gatepost.store.postgres_schema import opened
from gatepost.store.queue_body import UnreadBody
from gatepost.store.queue_change import ALL
from gatepost.store.queue_item import Item, Record, State
from gatepost.store.queue_verb import Changes, Dialect, Verbs

_SQL = Dialect(database.MAKE_DUE, database.MOVE, database.DELETE_ITEM, database.INSERT_RECORD)


class PostgresControl(Verbs):
    """The queue of all nodes; bodies stay sealed."""

    def __init__(
        self, address: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(_SQL, clock)
        self._address = address

    def list(self) -> tuple[Item, ...]:
        """Every item, oldest first."""
        with self._opened() as connection:
            return _named(connection, ALL)

    def show(self, id_: str) -> tuple[Item, ...]:
        """The items with this id; none when there is no such thing."""
        with self._opened() as connection:
            return _named(connection, id_)

    def records(self, queue_id: str) -> tuple[Record, ...]:
        """What was decided and what happened about a message, oldest first."""
        with self._opened() as connection:
            rows = connection.execute(database.SELECT_RECORDS, (queue_id,)).fetchall()
            return tuple(queue_row.record(row) for row in rows)

    def _each(
        self, id_: str, states: tuple[State, ...], changing: Callable[[Item], Changes]
    ) -> tuple[Item, ...]:
        changed: list[Item] = []
        with self._opened() as connection, connection.transaction():
            items = [one for one in _named(connection, id_) if change.concerns(id_, one, states)]
            for item in items:
                (sql, values), *others = changing(item)
                if connection.execute(sql.encode(), values).rowcount:
                    changed.append(item)
                    for more, given in others:
                        connection.execute(more.encode(), given)
            if items:
                connection.execute(database.NUDGE)
        return tuple(changed)

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        connection = opened(self._address, database.connect)
        try:
            yield connection
        except psycopg.Error as error:
            raise Unavailable(f"the queue's database cannot be used: {error}") from error
        finally:
            connection.close()


def _named(connection: Connection, id_: str) -> tuple[Item, ...]:
    if id_ == ALL:
        rows = connection.execute(database.SELECT_ALL).fetchall()
    else:
        rows = connection.execute(database.SELECT_NAMED, (id_, id_)).fetchall()
    return tuple(
        queue_row.restored(row[:-1], lambda one: UnreadBody(queue_row.size(one))) for row in rows
    )
