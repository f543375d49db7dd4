"""Which engines the configuration asks for: files here, or one PostgreSQL for many nodes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from gatepost.config import Settings
from gatepost.config.database import Database
from gatepost.engine.secret import password
from gatepost.errors import ConfigError
from gatepost.store import copying
from gatepost.store.contract import MailQueue, QueueControl
from gatepost.store.copying import Source, Target
from gatepost.store.database import Database as AnyDatabase
from gatepost.store.directory import Directory
from gatepost.store.queue import Queue
from gatepost.store.queue_control import Control
from gatepost.store.sealing import Seal
from gatepost.store.sqlite_database import SqliteDatabase
from gatepost.store.worker_queue import Taken

if TYPE_CHECKING:
    from gatepost.store.postgres_control import PostgresControl
    from gatepost.store.postgres_directory import PostgresDatabase
    from gatepost.store.postgres_queue import PostgresQueue

MAXIMUM_QUEUES = 1024  # far more than workers, those that end and those that begin
ARRIVING = "arriving"  # beside the files of the other engine, which may still drain


def open_queue(
    settings: Settings, seal: Seal, name: str, clock: Callable[[], datetime]
) -> MailQueue:
    """One worker's queue; raises ConfigError or Unavailable saying what to do."""
    folder = settings.gateway.queue_folder
    if not settings.queue_database.address:
        return Queue(folder, seal, name, clock=clock)
    engine, _ = _postgres()
    database = settings.queue_database
    return engine(
        address(database), folder / ARRIVING, seal, name, clock=clock, lease=database.lease
    )


def free_queue(settings: Settings, seal: Seal, clock: Callable[[], datetime]) -> MailQueue:
    """The first queue no other worker has; raises ConfigError or Unavailable."""
    for number in count():
        try:
            return open_queue(settings, seal, str(number), clock)
        except Taken:
            if number == MAXIMUM_QUEUES:
                raise
    raise AssertionError  # count() has no end


def control(settings: Settings) -> QueueControl:
    """The administrator's side of the queue."""
    if not settings.queue_database.address:
        return Control(settings.gateway.queue_folder)
    _, engine = _postgres()
    return engine(address(settings.queue_database))


def queue_sources(settings: Settings, seal: Seal, stack: ExitStack) -> tuple[Source, ...]:
    """Everything that is queued, each part in one state: files may drain beside a database."""
    files = stack.enter_context(copying.reading(settings.gateway.queue_folder, seal))
    if not settings.queue_database.address:
        return (files,)
    _postgres()
    from gatepost.store import postgres_copying  # noqa: PLC0415 - optional

    given = address(settings.queue_database)
    return files, stack.enter_context(postgres_copying.reading(given, seal))


def queue_target(settings: Settings, seal: Seal) -> AbstractContextManager[Target]:
    """An empty queue to fill; raises ConfigError when there is mail."""
    if not settings.queue_database.address:
        return copying.filling(settings.gateway.queue_folder, seal)
    _postgres()
    from gatepost.store import postgres_copying  # noqa: PLC0415 - optional

    return postgres_copying.filling(address(settings.queue_database), seal)


def directory_database(settings: Settings) -> AnyDatabase:
    """The database under the directory, for those who copy it whole."""
    path = directory_path(settings)
    return open_database(settings) if path is None else SqliteDatabase(path)


def directory_file(settings: Settings) -> Path:
    """The file of certificates, sealed keys, partners and policy, in use or not."""
    return settings.gateway.state / "directory.db"


def directory_path(settings: Settings) -> Path | None:
    """The file in use; None: all of it is in a database."""
    return None if settings.database.address else directory_file(settings)


def open_directory(settings: Settings) -> Directory:
    """Certificates, sealed keys, partners and policy; raises ConfigError or Unavailable."""
    return Directory(directory_path(settings) or open_database(settings))


def open_database(settings: Settings) -> PostgresDatabase:
    """What [database] names; raises ConfigError or Unavailable."""
    try:
        from gatepost.store.postgres_directory import PostgresDatabase  # noqa: PLC0415 - optional
    except ImportError as error:
        raise _missing() from error
    return PostgresDatabase(address(settings.database))


def address(database: Database) -> str:
    """The database's address with its password, as libpq reads it."""
    try:
        from psycopg import ProgrammingError  # noqa: PLC0415 - optional, and asked for only here
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415
    except ImportError as error:
        raise _missing() from error
    secret = {"password": password(database)} if database.password_sources else {}
    try:
        return make_conninfo(database.address, **secret)
    except ProgrammingError as error:
        raise ConfigError(f"[database] address: {str(error).strip()}") from error


def _postgres() -> tuple[type[PostgresQueue], type[PostgresControl]]:
    try:
        from gatepost.store.postgres_control import PostgresControl  # noqa: PLC0415 - optional
        from gatepost.store.postgres_queue import PostgresQueue  # noqa: PLC0415
    except ImportError as error:
        raise _missing() from error
    return PostgresQueue, PostgresControl


def _missing() -> ConfigError:
    return ConfigError("[database] needs psycopg", hint='pip install "gatepost[postgres]"')
