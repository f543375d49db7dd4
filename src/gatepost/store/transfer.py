"""Copy a whole directory from one engine to another, sealed keys as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Row, Select, Table, func, select

from gatepost.errors import ConfigError
from gatepost.store import schema
from gatepost.store.database import OLDEST, Database
from gatepost.store.filing import bump
from gatepost.store.generation import KEY

_BATCH = 500
# Mails with everything in them, lists of revocation: each row may be of many mebibytes.
_HEAVY = (schema.evidence, schema.evidence_proof, schema.fetched_status, schema.published_list)
_OWN = {OLDEST, KEY}  # settings that speak of the database they stand in


def copy(source: Database, target: Database) -> dict[str, int]:
    """All or nothing; rows by table.  Raises ConfigError unless the target is empty."""
    with source.reading() as read, target.writing() as write:
        if not is_empty(write):
            raise ConfigError(f"the database {target.place} holds a directory already")
        counts = {table.name: _copy(read, write, table) for table in schema.metadata.sorted_tables}
        _finish(write)
    return counts


def rows(source: Database) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """All of it in one state, table by table, in batches."""
    with source.reading() as read:
        for table in schema.metadata.sorted_tables:
            for found in _batches(read, table):
                yield table.name, _values(found)


def fill(target: Database, batches: Iterable[tuple[str, list[dict[str, Any]]]]) -> None:
    """Undo `rows`, all or nothing.  Raises ConfigError unless the target is empty."""
    with target.writing() as write:
        if not is_empty(write):
            raise ConfigError(f"the database {target.place} holds a directory already")
        for name, values in batches:
            write.execute(sqlalchemy.insert(schema.metadata.tables[name]), values)
        _finish(write)


def is_empty(connection: Connection) -> bool:
    """Whether nobody has put a certificate or a policy there."""
    return not any(
        connection.execute(select(sqlalchemy.exists().select_from(table))).scalar()
        for table in (schema.certificate, schema.policy_revision, schema.partner)
    )


def _copy(read: Connection, write: Connection, table: Table) -> int:
    count = 0
    for found in _batches(read, table):
        write.execute(sqlalchemy.insert(table), _values(found))
        count += len(found)
    return count


def _batches(read: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    """Never more of it in memory than a batch, whichever the database."""
    size = 1 if table in _HEAVY else _BATCH
    return read.execute(_everything(table).execution_options(yield_per=size)).partitions()


def _everything(table: Table) -> Select[Any]:
    query = select(table)
    return query.where(table.c.key.not_in(_OWN)) if table is schema.setting else query


def _values(found: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in found]  # noqa: SLF001  SQLAlchemy's public name for it


def _finish(write: Connection) -> None:
    if write.dialect.name == "postgresql":
        _advance(write)
    bump(write)


def _advance(write: Connection) -> None:
    """The next revision follows those that were copied with their numbers."""
    rev = schema.policy_revision.c.rev
    last = write.execute(select(func.max(rev))).scalar()
    if last is not None:
        sequence = func.pg_get_serial_sequence(schema.policy_revision.name, rev.name)
        write.execute(select(func.setval(sequence, last)))
