"""Open a SQLite database for good: WAL, every commit on the disk, current schema, owner only.

Workers open at once; one migrates inside an exclusive transaction, the others find it done.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, ExceptionContext, event

from gatepost.errors import ConfigError, Unavailable
from gatepost.store.schema import HEAD

BUSY_MILLISECONDS = 10_000
_PREFIX = "sqlite:///"


def locate(path_or_url: Path | str) -> Path:
    """The file meant by a path or a `sqlite:///` address; raises ConfigError for others."""
    text = str(path_or_url)
    if text.startswith(_PREFIX):
        return Path(text[len(_PREFIX) :])
    if "://" in text:
        scheme = text.partition("://")[0]
        raise ConfigError(f"database {scheme} is not supported: give a path or {_PREFIX}PATH")
    return Path(text)


def connect(path: Path) -> Engine:
    """Open or create the database and bring its schema up to date."""
    _create(path)
    engine = sqlalchemy.create_engine(f"{_PREFIX}{path}")
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    event.listen(engine, "handle_error", _translate)
    try:
        migrate(engine)
    except Unavailable as error:
        engine.dispose()
        raise Unavailable(f"database {path} cannot be opened: {error.__cause__}") from error
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One write transaction; takes the lock at once, so it cannot fail half-way for it."""
    with engine.connect() as plain:
        connection = plain.execution_options(gatepost_write=True)
        with connection.begin():
            yield connection


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing; costs one query when none is."""
    if _version(engine) == HEAD:
        return
    from alembic import command  # noqa: PLC0415  0.2 s that a start without migration saves
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "gatepost.store:migrations")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return None if found is None else str(found)


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
    write = connection.get_execution_options().get("gatepost_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
