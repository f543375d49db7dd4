"""What others publish of revocation, kept: the last good octets, and how the last try went."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select

from gatepost.pki.place import Status
from gatepost.store import schema
from gatepost.store.database import Database
from gatepost.store.filing import epoch, moment
from gatepost.store.upsert import insert

_F = schema.fetched_status


class Statuses:
    """Those of one directory; they change nothing that is remembered elsewhere."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, id_: str) -> Status | None:
        """What is kept for a question."""
        with self._database.reading() as connection:
            row = connection.execute(select(_F).where(_F.c.id == id_)).one_or_none()
        if row is None:
            return None
        tried, due = moment(row.tried_at), moment(row.due_at)
        return Status(row.id, row.kind, row.place, row.der, tried, due, row.fault)

    def write(self, one: Status) -> None:
        """Keep how it went; a failure leaves the last good octets."""
        values = {
            "kind": one.kind,
            "place": one.place,
            "der": one.der,
            "tried_at": epoch(one.tried_at),
            "due_at": epoch(one.due_at),
            "fault": one.fault,
        }
        with self._database.writing() as connection:
            row = insert(connection, _F).values(id=one.id, **values)
            connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=values))

    def prune(self, before: datetime) -> int:
        """Forget what nobody has asked about since; returns how many."""
        with self._database.writing() as connection:
            done = connection.execute(delete(_F).where(_F.c.tried_at < epoch(before)))
        return done.rowcount
