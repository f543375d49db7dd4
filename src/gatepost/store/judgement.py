"""An administrator's word on single certificates, which goes before any path."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, select

from gatepost.store.database import Database
from gatepost.store.filing import bump, epoch, moment
from gatepost.store.record import Judged
from gatepost.store.schema import judged as table
from gatepost.store.upsert import insert


class Judgements:
    """The words of one directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def judge(self, given: Judged, *, now: datetime) -> None:
        """Allow a certificate without a path, or deny one in spite of it."""
        values = {
            "allowed": given.allowed,
            "reason": given.reason,
            "author": given.author,
            "at": epoch(now),
        }
        with self._database.writing() as connection:
            row = insert(connection, table).values(fingerprint=given.fingerprint, **values)
            connection.execute(
                row.on_conflict_do_update(index_elements=["fingerprint"], set_=values)
            )
            bump(connection)

    def withdraw(self, fingerprint: str) -> bool:
        """Take it back; false when nothing was said."""
        with self._database.writing() as connection:
            done = connection.execute(delete(table).where(table.c.fingerprint == fingerprint))
            bump(connection)
            return done.rowcount > 0

    def every(self) -> tuple[Judged, ...]:
        """Every certificate somebody allowed or denied."""
        with self._database.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.fingerprint)).all()
        return tuple(
            Judged(row.fingerprint, row.allowed, row.reason, row.author, moment(row.at))
            for row in rows
        )


def denied(connection: Connection) -> dict[str, str]:
    """Fingerprint to reason."""
    query = select(table.c.fingerprint, table.c.reason).where(table.c.allowed.is_(False))
    return {row.fingerprint: row.reason for row in connection.execute(query)}
