"""The directory of several nodes in one PostgreSQL: what one changes the others see at once.

Whoever writes holds one advisory lock to the end of the transaction, as in SQLite: what was
read before a change (is this person's key there already?) still holds when it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, TypeVar

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Engine, ExceptionContext, event, select

from gatepost.errors import Unavailable
from gatepost.store import schema
from gatepost.store.database import migrate
from gatepost.store.generation import KEY
from gatepost.store.glance import Glances
from gatepost.store.postgres_database import Connect, connect
from gatepost.store.postgres_watch import CHANGED, Watch

T = TypeVar("T")

# One writer per schema: the number says "gate", the hash tells installations apart.
_LOCK: Final = "SELECT pg_advisory_xact_lock(1734440037, hashtext(current_schema()))"
_PATIENCE: Final = "20s"  # for the lock, and for any statement
_IDLE = 5  # connections kept
_MORE = 20  # of a burst
_WORLD = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)


class PostgresDatabase:
    """A `store.database.Database` for any number of nodes."""

    is_distant = True

    def __init__(self, address: str, connect: Connect = connect) -> None:
        self._address = address
        self._connect = connect
        self._engine = self._made()
        self._glances = Glances(self._engine)
        self._watch = Watch(self._session)
        try:
            migrate(self)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def place(self) -> str:
        """Where it is, for people."""
        given = conninfo_to_dict(self._address)
        return f"{given.get('host') or 'localhost'}/{given.get('dbname') or 'postgres'}"

    def reading(self) -> AbstractContextManager[Connection]:
        """One state of the database (REPEATABLE READ)."""
        return self._engine.connect()

    def glance(self, question: Callable[[Connection], T]) -> T:
        """One way to the server and back for each statement."""
        return self._glances.ask(question)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Wait for every other node's writing to end; then tell them all of ours."""
        with self._engine.connect() as plain:
            # Each statement sees what was committed before we had the lock.
            connection = plain.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                connection.exec_driver_sql(_LOCK)
                yield connection
                made = _announced(connection)
        self._watch.note(made)

    def generation(self) -> int:
        """The number of the last change; raises Unavailable while nobody can know it."""
        return self._watch.read()

    def close(self) -> None:
        """Give the connections back."""
        self._watch.close()
        self._glances.close()
        self._engine.dispose()

    def _made(self) -> Engine:
        made = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=self._session,
            isolation_level="REPEATABLE READ",
            pool_size=_IDLE,
            max_overflow=_MORE,
            pool_pre_ping=True,  # after the database was away the first mail need not hear of it
            use_native_hstore=False,
        )
        event.listen(made, "handle_error", _translate)
        return made

    def _session(self) -> psycopg.Connection[tuple[object, ...]]:
        session = self._connect(self._address)
        try:
            session.execute(f"SET statement_timeout = '{_PATIENCE}'".encode())
        except psycopg.Error:
            session.close()
            raise
        session.autocommit = False  # SQLAlchemy's transactions begin by themselves
        return session


def _announced(connection: Connection) -> int:
    """The number of the change under way; nodes hear of it when it is committed."""
    query = select(schema.setting.c.value).where(schema.setting.c.key == KEY)
    number = int(connection.execute(query).scalar() or 0)
    connection.exec_driver_sql(f"NOTIFY {CHANGED}")
    return number


def _translate(context: ExceptionContext) -> None:
    """A database that is away, full, slow or stopping: later may be better."""
    error = context.original_exception
    if isinstance(error, _WORLD):
        said = " ".join(str(error).split())
        raise Unavailable(f"the directory cannot be used now: {said}") from error
