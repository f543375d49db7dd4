"""Named texts that change only by whoever knows the text before: no node undoes another's."""

from __future__ import annotations

from sqlalchemy import Connection, and_, bindparam, delete, func, select, update

from gatepost.store.database import Database
from gatepost.store.filing import bump
from gatepost.store.schema import setting
from gatepost.store.upsert import insert

_TEXT = select(setting.c.value).where(setting.c.key == bindparam("name"))


class Register:
    """The named texts of one directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, name: str) -> str | None:
        """A text; nothing when there is none."""
        return self._database.glance(lambda connection: _read(connection, name))

    def named(self, beginning: str) -> dict[str, str]:
        """Every text whose name begins so, by name."""
        query = (
            select(setting.c.key, setting.c.value)
            .where(setting.c.key.startswith(beginning, autoescape=True))
            .order_by(setting.c.key)
        )
        with self._database.reading() as connection:
            return {row.key: row.value for row in connection.execute(query)}

    def count(self, beginning: str) -> int:
        """How many texts there are whose name begins so."""
        query = select(func.count()).where(setting.c.key.startswith(beginning, autoescape=True))
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar() or 0)

    def swap(self, name: str, old: str | None, new: str | None) -> bool:
        """Put the new text in the old one's place; false when another stands there meanwhile."""
        this = setting.c.key == name
        with self._database.writing() as connection:
            if _read(connection, name) != old:
                return False
            if new is None:
                connection.execute(delete(setting).where(this))
            elif old is None:
                connection.execute(insert(connection, setting).values(key=name, value=new))
            else:
                same = and_(this, setting.c.value == old)
                connection.execute(update(setting).where(same).values(value=new))
            bump(connection)
            return True


def _read(connection: Connection, name: str) -> str | None:
    found: str | None = connection.execute(_TEXT, {"name": name}).scalar()
    return found
