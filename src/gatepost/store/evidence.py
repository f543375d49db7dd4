"""The evidence of one directory: records sealed at rest, each chained to the one before.

Records are added at the end and dropped at the beginning, when they are older than they are to
be kept; the last always stays, so that the chain goes on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection, and_, delete, func, insert, select

from gatepost.store.chain import BEGINNING, Link, linked
from gatepost.store.database import Database
from gatepost.store.filing import epoch
from gatepost.store.schema import evidence as table

MAXIMUM_RECORD = 64 * 1024 * 1024


class Seal(Protocol):
    """The vault's, for this purpose."""

    def seal(self, data: bytes, aad: bytes = b"") -> bytes:
        """Seal for a place."""
        ...

    def unseal(self, box: bytes, aad: bytes = b"") -> bytes:
        """Undo `seal`."""
        ...


class EvidenceStore:
    """Append-only for the gateway; only age removes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, record: bytes, seal: Seal, *, now: datetime) -> Link:
        """Chain a record to the last; the write transaction orders all nodes."""
        if len(record) > MAXIMUM_RECORD:
            raise ValueError("a record too large to be kept")
        with self._database.writing() as connection:
            last = connection.execute(
                select(table.c.number, table.c.digest).order_by(table.c.number.desc()).limit(1)
            ).first()
            number, previous = (last.number + 1, last.digest) if last else (1, BEGINNING)
            made = linked(number, epoch(now), previous, record)
            connection.execute(
                insert(table).values(
                    number=number,
                    at=made.at,
                    previous=previous,
                    digest=made.digest,
                    sealed=seal.seal(record, _place(number)),
                )
            )
        return made

    def read(
        self, seal: Seal, first: int = 1, last: int | None = None, limit: int = 10_000
    ) -> list[Link]:
        """Records in order, unsealed; raises SealBroken for one that was altered or moved."""
        wanted = table.c.number >= first
        if last is not None:
            wanted = and_(wanted, table.c.number <= last)
        with self._database.reading() as connection:
            rows = connection.execute(
                select(table).where(wanted).order_by(table.c.number).limit(limit)
            ).all()
        return [
            Link(
                row.number,
                row.at,
                row.previous,
                row.digest,
                seal.unseal(row.sealed, _place(row.number)),
            )
            for row in rows
        ]

    def drop(self, age: timedelta, *, now: datetime) -> int:
        """Forget what is older; gives how many."""
        with self._database.writing() as connection:
            end = _end(connection)
            done = connection.execute(
                delete(table).where(table.c.at < epoch(now - age), table.c.number < end)
            )
            return done.rowcount


def _end(connection: Connection) -> int:
    return int(connection.execute(select(func.max(table.c.number))).scalar() or 0)


def _place(number: int) -> bytes:
    return f"evidence {number}".encode()
