"""Whose turn it is: what is to be done once in a while by one of however many nodes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from gatepost.store import schema
from gatepost.store.database import Database
from gatepost.store.filing import epoch
from gatepost.store.upsert import insert

_S = schema.setting


class Turns:
    """Those of one directory, by the clocks of those who take them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(self, name: str, now: datetime, until: datetime) -> bool:
        """Whether it is our turn; then it is nobody's until then."""
        ends = f"{epoch(until):020d}"  # as text it sorts like the number
        query = select(_S.c.value).where(_S.c.key == _key(name))
        with self._database.reading() as connection:
            if (connection.execute(query).scalar() or "") > f"{epoch(now):020d}":
                return False
        with self._database.writing() as connection:
            row = insert(connection, _S).values(key=_key(name), value=ends)
            due = row.on_conflict_do_update(
                index_elements=["key"],
                set_={"value": ends},
                where=_S.c.value <= f"{epoch(now):020d}",
            )
            return connection.execute(due.returning(_S.c.value)).first() is not None

    def give_back(self, name: str, until: datetime) -> None:
        """It was not done: somebody may take it from then on."""
        with self._database.writing() as connection:
            changed = _S.update().where(_S.c.key == _key(name))
            connection.execute(changed.values(value=f"{epoch(until):020d}"))


def _key(name: str) -> str:
    return f"turn.{name}"
