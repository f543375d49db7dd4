"""The shared queue's tables, migration by migration; nodes can be upgraded one at a time.

A migration says in its first line which is the oldest one whose programs go on working
beside it ("-- oldest: 3").  What only adds names its predecessor; what takes away must wait
for a release in which no program uses it any more.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

import psycopg

from gatepost.errors import ConfigError, Unavailable
from gatepost.store.postgres_database import Connect, Connection, shown

_MIGRATING: Final = 0x6761_7465  # the advisory lock's number: "gate"
_OLDEST: Final = re.compile(r"-- oldest: (\d+)\n")
_LATEST: Final = (
    "SELECT version, coalesce(oldest, version) FROM queue_schema ORDER BY version DESC LIMIT 1"
)


def migrate(connection: Connection) -> None:
    """Bring the schema up to date, one node at a time; raises ConfigError for one too new."""
    if shown(connection, "fsync") != "on":
        raise ConfigError("PostgreSQL runs with fsync off: acknowledged mail would be lost")
    steps = migrations()
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))
        found, oldest = _found(connection)
        if oldest > len(steps):
            raise ConfigError(
                f"the queue database has schema {found}, this Gatepost knows {len(steps)}; "
                "run the newer version"
            )
        if found < len(steps):
            # Nodes at work must not queue up behind a change that waits for one of them.
            connection.execute("SET LOCAL lock_timeout = '10s'")
        for number, step in enumerate(steps[found:], found + 1):
            connection.execute(step.encode())
            connection.execute("INSERT INTO queue_schema VALUES (%s, %s)", (number, _oldest(step)))


def migrations() -> tuple[str, ...]:
    """Every step, oldest first."""
    folder = resources.files("gatepost.store") / "postgres_migrations"
    names = sorted(one.name for one in folder.iterdir() if one.name.endswith(".sql"))
    return tuple((folder / name).read_text("utf-8") for name in names)


def opened(address: str, connect: Connect) -> Connection:
    """Connect and migrate; raises Unavailable when there is no database."""
    try:
        connection = connect(address)
    except psycopg.Error as error:
        raise Unavailable(f"the queue's database cannot be reached: {error}") from error
    try:
        migrate(connection)
    except psycopg.Error as error:
        connection.close()
        raise Unavailable(f"the queue's database cannot be used: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _found(connection: Connection) -> tuple[int, int]:
    """The schema, and the oldest whose programs can use it."""
    connection.execute("CREATE TABLE IF NOT EXISTS queue_schema (version integer NOT NULL)")
    connection.execute("ALTER TABLE queue_schema ADD COLUMN IF NOT EXISTS oldest integer")
    row = connection.execute(_LATEST).fetchone()
    return (int(str(row[0])), int(str(row[1]))) if row else (0, 0)


def _oldest(step: str) -> int | None:
    found = _OLDEST.match(step)
    return int(found[1]) if found else None
