"""What the postmaster is to hear of: each thing once, until it is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, delete, select, true, update

from gatepost.store import schema
from gatepost.store.database import Database
from gatepost.store.filing import epoch, moment
from gatepost.store.upsert import insert

_N = schema.notice
MAXIMUM_TEXT = 500


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing, in one sentence."""

    key: str  # the same thing has the same
    at: datetime
    event: str
    text: str
    grave: bool = False  # cannot wait for the letter of the day


class Notices:
    """Those of one directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, one: Notice) -> bool:
        """Keep it, unless it is known; whether it is new."""
        with self._database.writing() as connection:
            row = insert(connection, _N).values(
                key=one.key[:128],
                at=epoch(one.at),
                event=one.event,
                text=one.text[:MAXIMUM_TEXT],
                grave=one.grave,
            )
            made = row.on_conflict_do_nothing().returning(_N.c.at)
            return connection.execute(made).first() is not None

    def untold(self, limit: int, *, grave: bool = False) -> tuple[Notice, ...]:
        """What nobody was told yet, the oldest first."""
        wanted = and_(_N.c.told_at.is_(None), _N.c.grave if grave else true())
        query = select(_N).where(wanted).order_by(_N.c.at, _N.c.key).limit(limit)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            Notice(one.key, moment(one.at), one.event, one.text, one.grave) for one in rows
        )

    def told(self, keys: Iterable[str], now: datetime) -> None:
        """Somebody was told of these."""
        with self._database.writing() as connection:
            for key in keys:
                connection.execute(update(_N).where(_N.c.key == key).values(told_at=epoch(now)))

    def prune(self, before: datetime) -> int:
        """Forget what was told long ago; it may come again."""
        with self._database.writing() as connection:
            done = connection.execute(delete(_N).where(_N.c.told_at < epoch(before)))
        return done.rowcount
