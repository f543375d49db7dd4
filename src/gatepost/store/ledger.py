"""What our own authorities issued and took back, and the list they published last.

Numbers of lists are drawn in the write transaction that keeps the list: on any number of
nodes none is used twice (RFC 5280 section 5.2.3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, select

from gatepost.certificate import Certificate
from gatepost.store import schema
from gatepost.store.database import Database
from gatepost.store.filing import bump, epoch, moment, revive
from gatepost.store.upsert import insert

HOLD = "certificateHold"
_R, _P, _C = schema.revoked, schema.published_list, schema.certificate
LINGERING = timedelta(days=7)
_UNNUMBERED = 1000  # certificates that an older program files while nodes are upgraded
_NUMBERED = select(_C.c.der).where(_C.c.serial == bindparam("serial"))
_REST = select(_C.c.der).where(_C.c.serial.is_(None)).limit(_UNNUMBERED)


@dataclass(frozen=True, slots=True)
class Revoked:
    """A certificate that was taken back."""

    serial: int
    fingerprint: str
    reason: str
    at: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class PublishedList:
    """A certificate revocation list of ours."""

    number: int
    this_update: datetime
    next_update: datetime
    der: bytes = field(repr=False)


Make = Callable[[int, tuple[Revoked, ...]], PublishedList]


class Ledger:
    """The revocations of one directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revoke(
        self, certificate: Certificate, authority: Certificate, reason: str, at: datetime
    ) -> bool:
        """Note that a certificate counts no more; false when it was so already.

        A suspended one can be revoked for good (RFC 5280 section 5.3.1).
        """
        row = _row(certificate, authority, reason, at)
        change = {"reason": reason, "at": epoch(at)}
        with self._database.writing() as connection:
            done = connection.execute(
                insert(connection, _R)
                .values(row)
                .on_conflict_do_update(
                    index_elements=["authority", "serial"],
                    set_=change,
                    where=and_(_R.c.reason == HOLD, _R.c.reason != reason),
                )
                .returning(_R.c.at)  # PostgreSQL counts no INSERT
            )
            is_new = done.first() is not None
            bump(connection)
        return is_new

    def release(self, certificate: Certificate, authority: Certificate) -> bool:
        """End a suspension; false when there was none."""
        match = and_(_named(authority, certificate.serial), _R.c.reason == HOLD)
        with self._database.writing() as connection:
            done = connection.execute(delete(_R).where(match))
            bump(connection)
        return done.rowcount > 0

    def find(self, authority: Certificate, serial: int) -> Revoked | None:
        """What was taken back under this number."""
        with self._database.reading() as connection:
            found = _read(connection, _named(authority, serial))
        return found[0] if found else None

    def fingerprints(self) -> frozenset[str]:
        """Of every certificate that was taken back."""
        with self._database.reading() as connection:
            return frozenset(connection.execute(select(_R.c.fingerprint)).scalars())

    def of(self, certificate: Certificate) -> Revoked | None:
        """When and why a certificate was taken back, whoever issued it."""
        with self._database.reading() as connection:
            found = _read(connection, _R.c.fingerprint == certificate.fingerprint)
        return found[0] if found else None

    def issued(self, authority: Certificate, serial: int) -> Certificate | None:
        """The certificate of ours that has this number and names this issuer."""
        for query in (_NUMBERED, _REST):
            for one in self._numbered(query, serial):
                if one.serial == serial and one.issuer == authority.subject:
                    return one
        return None

    def _numbered(self, query: Select[bytes], serial: int) -> list[Certificate]:
        given = {"serial": f"{serial:x}"}
        rows = self._database.glance(lambda connection: connection.execute(query, given).all())
        return [revive(der) for (der,) in rows]

    def published(self, authority: Certificate) -> PublishedList | None:
        """The last list of an authority."""
        with self._database.reading() as connection:
            return _published(connection, authority)

    def publish(
        self, authority: Certificate, make: Make, *, now: datetime, after: int | None
    ) -> PublishedList:
        """Keep the list that `make` signs, unless another process was first.

        `after` is the number of the list that is to be replaced.
        """
        with self._database.writing() as connection:
            last = _published(connection, authority)
            if last is not None and last.number != after:
                return last
            # RFC 5280 section 3.3: what has ended stands on one regular list beyond its end, which
            # a revocation between two regular ones, replacing the list at once, must not cut short.
            since = epoch(min(last.this_update if last else now, now - LINGERING))
            match = and_(_R.c.authority == authority.fingerprint, _R.c.not_after >= since)
            made = make((last.number if last else 0) + 1, _read(connection, match))
            values = {
                "number": made.number,
                "this_update": epoch(made.this_update),
                "next_update": epoch(made.next_update),
                "der": made.der,
            }
            row = insert(connection, _P).values(authority=authority.fingerprint, **values)
            connection.execute(row.on_conflict_do_update(index_elements=["authority"], set_=values))
        return made


def _row(
    certificate: Certificate, authority: Certificate, reason: str, at: datetime
) -> dict[str, object]:
    """The row of a revocation."""
    return {
        "authority": authority.fingerprint,
        "serial": f"{certificate.serial:x}",
        "fingerprint": certificate.fingerprint,
        "reason": reason,
        "at": epoch(at),
        "not_after": epoch(certificate.not_after),
    }


def _named(authority: Certificate, serial: int) -> ColumnElement[bool]:
    return and_(_R.c.authority == authority.fingerprint, _R.c.serial == f"{serial:x}")


def _read(connection: Connection, match: ColumnElement[bool]) -> tuple[Revoked, ...]:
    rows = connection.execute(select(_R).where(match).order_by(_R.c.at, _R.c.serial))
    return tuple(
        Revoked(
            int(row.serial, 16), row.fingerprint, row.reason, moment(row.at), moment(row.not_after)
        )
        for row in rows
    )


def _published(connection: Connection, authority: Certificate) -> PublishedList | None:
    row = connection.execute(
        select(_P).where(_P.c.authority == authority.fingerprint)
    ).one_or_none()
    if row is None:
        return None
    return PublishedList(row.number, moment(row.this_update), moment(row.next_update), row.der)
