"""Copy a whole directory from one engine to another, sealed keys as they are."""

from __future__ import annotations

import sqlalchemy
from sqlalchemy import Connection, Table, func, select

from gatepost.errors import ConfigError
from gatepost.store import schema
from gatepost.store.database import OLDEST, Database
from gatepost.store.filing import bump
from gatepost.store.generation import KEY

_BATCH = 500
_OWN = {OLDEST, KEY}  # settings that speak of the database they stand in


def copy(source: Database, target: Database) -> dict[str, int]:
    """All or nothing; rows by table.  Raises ConfigError unless the target is empty."""
    with source.reading() as read, target.writing() as write:
        if not is_empty(write):
            raise ConfigError(f"the database {target.place} holds a directory already")
        counts = {table.name: _copy(read, write, table) for table in schema.metadata.sorted_tables}
        if write.dialect.name == "postgresql":
            _advance(write)
        bump(write)
    return counts


def is_empty(connection: Connection) -> bool:
    """Whether nobody has put a certificate or a policy there."""
    return not any(
        connection.execute(select(sqlalchemy.exists().select_from(table))).scalar()
        for table in (schema.certificate, schema.policy_revision, schema.partner)
    )


def _copy(read: Connection, write: Connection, table: Table) -> int:
    query = select(table)
    if table is schema.setting:
        query = query.where(table.c.key.not_in(_OWN))
    count = 0
    for rows in read.execute(query).partitions(_BATCH):
        write.execute(sqlalchemy.insert(table), [dict(row._mapping) for row in rows])  # noqa: SLF001  SQLAlchemy's public name for it
        count += len(rows)
    return count


def _advance(write: Connection) -> None:
    """The next revision follows those that were copied with their numbers."""
    rev = schema.policy_revision.c.rev
    last = write.execute(select(func.max(rev))).scalar()
    if last is not None:
        sequence = func.pg_get_serial_sequence(schema.policy_revision.name, rev.name)
        write.execute(select(func.setval(sequence, last)))
