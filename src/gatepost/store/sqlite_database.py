"""The directory in one SQLite file: WAL, every commit on the disk, owner only.

Workers open at once; one migrates inside an exclusive transaction, the others find it done.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy import Connection, Engine, ExceptionContext, event

from gatepost.errors import Unavailable
from gatepost.store.database import migrate
from gatepost.store.generation import Generation
from gatepost.store.glance import Glances

T = TypeVar("T")

BUSY_MILLISECONDS = 10_000


class SqliteDatabase:
    """A `store.database.Database` for the workers of one machine."""

    is_distant = False

    def __init__(self, path: Path) -> None:
        self.place = path
        _create(path)
        self._engine = engine(path)
        self._glances = Glances(self._engine)
        try:
            migrate(self)
        except Unavailable as error:
            self._engine.dispose()
            raise Unavailable(f"database {path} cannot be opened: {error.__cause__}") from error
        except BaseException:
            self._engine.dispose()
            raise
        self._generation = Generation(path)

    def reading(self) -> AbstractContextManager[Connection]:
        """One state of the file."""
        return self._engine.connect()

    def glance(self, question: Callable[[Connection], T]) -> T:
        """On a connection kept for it; SQLite gives each statement a state of its own."""
        return self._glances.ask(question)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Take the lock at once, so that nothing can fail half-way for it."""
        with self._engine.connect() as plain:
            connection = plain.execution_options(gatepost_write=True)
            with connection.begin():
                yield connection

    def generation(self) -> int:
        """The number of the last change."""
        return self._generation.read()

    def close(self) -> None:
        """Give the file back."""
        self._generation.close()
        self._glances.close()
        self._engine.dispose()


def engine(path: Path) -> Engine:
    """Connections with our settings."""
    made = sqlalchemy.create_engine(f"sqlite:///{path}")
    event.listen(made, "connect", _prepare)
    event.listen(made, "begin", _begin)
    event.listen(made, "handle_error", _translate)
    return made


def _create(path: Path) -> None:
    """Make the file before SQLite does, so that it and its -wal and -shm are the owner's alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable(f"database {path} cannot be opened: {error.strerror}") from error
    try:
        if os.fstat(descriptor).st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _begin
    for pragma in (
        f"busy_timeout={BUSY_MILLISECONDS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _translate(context: ExceptionContext) -> None:
    """Locked, full, read-only, damaged: the world's fault, and later may be better.

    What is left (a broken constraint, a mistaken statement) is ours and keeps its name.
    """
    error = context.original_exception
    if type(error) in {sqlite3.OperationalError, sqlite3.DatabaseError}:
        raise Unavailable(f"the directory cannot be used now: {error}") from error


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") != "AUTOCOMMIT":
        write = options.get("gatepost_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
