"""The directory's database, whichever engine it has: transactions, changes seen, its schema.

A schema grows in two steps, so that nodes can be upgraded one by one: a release only adds
(`schema.OLDEST` names the oldest program that goes on working), a later one takes away.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

import sqlalchemy
from sqlalchemy import Connection, select

from gatepost.errors import ConfigError
from gatepost.store import schema
from gatepost.store.upsert import insert

T = TypeVar("T")

OLDEST = "schema.oldest"  # the setting that tells older programs whether they may go on


class Database(Protocol):
    """One database, opened for this process."""

    @property
    def place(self) -> Path | str:
        """The file, or an address without its password."""
        ...

    @property
    def is_distant(self) -> bool:
        """Whether an answer may take a network's time."""
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """One state of the database, to read as often as need be."""
        ...

    def glance(self, question: Callable[[Connection], T]) -> T:
        """Ask what one statement answers, or several that need not tell of the same moment.

        The question may be put twice, and nothing of the connection survives it.
        """
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """The one write transaction of the moment, on all nodes; commits at the end."""
        ...

    def generation(self) -> int:
        """The number of the last change, whoever made it; some µs."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


def migrate(database: Database) -> None:
    """Run the migrations that are missing; costs one query when none is.

    Raises ConfigError for a schema that a newer program made and this one cannot use.
    """
    with database.reading() as connection:
        found = version(connection)
        if found == schema.HEAD:
            return
        if found is not None and found > schema.HEAD:
            _demand_compatible(connection, found)
            return
    from alembic import command  # noqa: PLC0415  0.2 s that a start without migration saves
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", "gatepost.store:migrations")
    with database.writing() as connection:
        if version(connection) == schema.HEAD:  # another node was first
            return
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _declare(connection)


def version(connection: Connection) -> str | None:
    """The schema found; None before the first."""
    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def _demand_compatible(connection: Connection, found: str) -> None:
    query = select(schema.setting.c.value).where(schema.setting.c.key == OLDEST)
    oldest = connection.execute(query).scalar() or found
    if oldest > schema.HEAD:
        raise ConfigError(
            f"the directory has schema {found}, this Gatepost knows {schema.HEAD}; "
            "run the newer version"
        )


def _declare(connection: Connection) -> None:
    row = insert(connection, schema.setting).values(key=OLDEST, value=schema.OLDEST)
    new = {"value": schema.OLDEST}
    connection.execute(row.on_conflict_do_update(index_elements=["key"], set_=new))
