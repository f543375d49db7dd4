"""Which ends of certificates somebody was told of already: each once, on however many nodes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, literal, select

from gatepost.certificate import Certificate
from gatepost.store import schema
from gatepost.store.database import Database
from gatepost.store.filing import epoch, revive
from gatepost.store.upsert import insert

_A, _C, _E = schema.alert, schema.certificate, schema.enrolment
_K, _T, _U = schema.private_key, schema.anchor, schema.certificate_address
_R = schema.revoked
_GIVEN = select(literal(1)).where(
    _A.c.fingerprint == bindparam("fingerprint"), _A.c.days == bindparam("days")
)


class Alerts:
    """The alerts of one directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, fingerprint: str, days: int, now: datetime) -> bool:
        """Whether nobody was told of this yet; whoever gets true tells it."""
        this = {"fingerprint": fingerprint, "days": days}
        if self._database.glance(lambda connection: connection.execute(_GIVEN, this).scalar()):
            return False  # the common case, hour for hour, writes nothing
        with self._database.writing() as connection:
            row = insert(connection, _A).values(**this, at=epoch(now))
            made = row.on_conflict_do_nothing().returning(_A.c.at)  # PostgreSQL counts no INSERT
            return connection.execute(made).first() is not None

    def given(self) -> int:
        """How many were given."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(_A)).scalar() or 0)

    def ending(self, since: datetime, until: datetime) -> Sequence[Certificate]:
        """Certificates in use that end within a span, soonest first.

        In use: issued here and current, with a private key that came from outside, an
        authority's or an anchor, or filed by an administrator for a correspondent; what was
        taken back is not.
        """
        revoked = select(_R.c.fingerprint)
        issued = select(_U.c.fingerprint).where(_U.c.source == "issued")
        filed = select(_U.c.fingerprint).where(_U.c.source.in_(("imported", "pinned")))
        current = select(_E.c.fingerprint)
        held = select(_K.c.fingerprint).where(_K.c.fingerprint.not_in(issued))
        query = (
            select(_C.c.der)
            .where(
                _C.c.not_after >= epoch(since),
                _C.c.not_after < epoch(until),
                _C.c.fingerprint.in_(
                    current.union(filed, held, select(_T.c.fingerprint)).subquery().select()
                ),
                _C.c.fingerprint.not_in(revoked),
            )
            .order_by(_C.c.not_after, _C.c.fingerprint)
        )
        with self._database.reading() as connection:
            return [revive(der) for (der,) in connection.execute(query)]
