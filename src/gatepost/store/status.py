"""What others publish of revocation, kept: the last good octets, and how the last try went."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, delete, select, update

from gatepost.pki.place import Status
from gatepost.store import schema
from gatepost.store.database import Database
from gatepost.store.filing import epoch, moment
from gatepost.store.upsert import insert

_F = schema.fetched_status
_LIGHT = [one for one in _F.c if one.name != "der"]  # a list may be of many mebibytes


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
        question = row.question or b""
        return Status(row.id, row.kind, row.place, row.der, tried, due, row.fault, question)

    def write(self, one: Status) -> None:
        """Keep how it went; a failure leaves the last good octets."""
        values = {
            "kind": one.kind,
            "place": one.place,
            "der": one.der,
            "tried_at": epoch(one.tried_at),
            "due_at": epoch(one.due_at),
            "fault": one.fault,
            "question": one.question or None,
        }
        with self._database.writing() as connection:
            used = epoch(one.tried_at)  # only mail asks what was never asked
            row = insert(connection, _F).values(id=one.id, used_at=used, **values)
            connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=values))

    def use(self, id_: str, now: datetime) -> None:
        """Note that mail asks this."""
        with self._database.writing() as connection:
            at = epoch(now)
            changed = update(_F).where(_F.c.id == id_, _F.c.used_at < at).values(used_at=at)
            connection.execute(changed)

    def due(self, now: datetime, used: datetime, limit: int) -> tuple[Status, ...]:
        """What mail has used since then and is to be asked anew, without the octets."""
        wanted = and_(_F.c.due_at <= epoch(now), _F.c.used_at >= epoch(used))
        return self._light(wanted, limit)

    def failing(self, used: datetime, limit: int) -> tuple[Status, ...]:
        """What mail has used since then and could not be fetched the last time."""
        return self._light(and_(_F.c.fault != "", _F.c.used_at >= epoch(used)), limit)

    def claim(self, one: Status, until: datetime) -> bool:
        """Whether this node is to ask, rather than another."""
        unchanged = and_(_F.c.id == one.id, _F.c.due_at == epoch(one.due_at))
        with self._database.writing() as connection:
            done = connection.execute(update(_F).where(unchanged).values(due_at=epoch(until)))
        return done.rowcount > 0

    def prune(self, before: datetime) -> int:
        """Forget what nobody has asked about since; returns how many."""
        at = epoch(before)
        with self._database.writing() as connection:
            done = connection.execute(delete(_F).where(_F.c.tried_at < at, _F.c.used_at < at))
        return done.rowcount

    def _light(self, wanted: object, limit: int) -> tuple[Status, ...]:
        query = select(*_LIGHT).where(wanted).order_by(_F.c.due_at, _F.c.id).limit(limit)  # type: ignore[arg-type]  # a condition
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return tuple(
            Status(
                row.id,
                row.kind,
                row.place,
                None,
                moment(row.tried_at),
                moment(row.due_at),
                row.fault,
                row.question or b"",
            )
            for row in rows
        )
