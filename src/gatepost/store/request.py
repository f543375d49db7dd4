"""Certificates that are asked for at other authorities: one line per address and purpose.

The key made for a request lies in it, sealed, until the certificate comes; then both move to
the directory.  Of several nodes one holds a line while it asks; what it found out counts only
if nobody took the line over meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Row, and_, delete, select, update

from gatepost.certificate import Certificate
from gatepost.store import keys, schema
from gatepost.store.database import Database
from gatepost.store.filing import bump, epoch, file_certificate, moment, revive
from gatepost.store.record import Address, StoredKey, address_key
from gatepost.store.upsert import insert

Purpose = Literal["sign", "encrypt", "both"]
Usage = Literal["sign", "encrypt"]
KINDS: dict[Purpose, tuple[Usage, ...]] = {
    "sign": ("sign",),
    "encrypt": ("encrypt",),
    "both": ("sign", "encrypt"),
}
LEASE = timedelta(minutes=15)  # longer than any source may take
MAXIMUM_DUE = 1000  # looked at in one go
MAXIMUM_STATE = 1 << 20  # characters a source may have us remember

_R, _E, _C = schema.certificate_request, schema.enrolment, schema.certificate


@dataclass(frozen=True, slots=True)
class Request:
    """One line."""

    address: str  # as `address_key` files it
    purpose: Purpose
    source: str
    key_id: str
    sealed: bytes = field(repr=False)
    pkcs10: bytes = field(repr=False)
    replacing: str = ""
    state: str | None = field(default=None, repr=False)
    waits_for: str = ""
    tries: int = 0
    fault: str = ""
    ended: bool = False
    created: datetime = field(default_factory=partial(moment, 0))
    due: datetime = field(default_factory=partial(moment, 0))

    def as_data(self) -> dict[str, Any]:
        """What an administrator may see, as values JSON can carry."""
        return {
            "address": self.address,
            "purpose": self.purpose,
            "source": self.source,
            "waits_for": self.waits_for,
            "since": self.created.isoformat(),
            "again": None if self.ended else self.due.isoformat(),
            "tries": self.tries,
            "error": self.fault,
            "refused": self.ended,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """What asking came to, as far as it is to be remembered."""

    due: datetime
    state: str | None = None
    waits_for: str = ""
    tries: int = 0
    fault: str = ""
    ended: bool = False


class Requests:
    """The requests of one directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Request, ...]:
        """Every one, the oldest first."""
        query = select(_R).order_by(_R.c.created, _R.c.address, _R.c.purpose)
        with self._database.reading() as connection:
            return tuple(_request(row) for row in connection.execute(query))

    def of(self, address: Address) -> tuple[Request, ...]:
        """Those for one address."""
        query = select(_R).where(_R.c.address == address_key(address)).order_by(_R.c.purpose)
        with self._database.reading() as connection:
            return tuple(_request(row) for row in connection.execute(query))

    def by_key(self, key_id: str) -> Request | None:
        """The one whose key has this id."""
        with self._database.reading() as connection:
            row = connection.execute(select(_R).where(_R.c.key_id == key_id)).first()
        return None if row is None else _request(row)

    def open(self, request: Request) -> bool:
        """Begin one; false when there is one for this address and purpose already."""
        values = {
            **{name: getattr(request, name) for name in _PLAIN},
            "created": epoch(request.created),
            "due": epoch(request.due),
            "holder": "",
            "held_until": 0,
        }
        with self._database.writing() as connection:
            row = insert(connection, _R).values(values).on_conflict_do_nothing()
            return connection.execute(row.returning(_R.c.key_id)).first() is not None

    def drop(self, request: Request) -> bool:
        """Give one up, and its key with it; false when it is another one meanwhile."""
        with self._database.writing() as connection:
            return connection.execute(delete(_R).where(_is(request))).rowcount > 0

    def due(self, now: datetime) -> tuple[Request, ...]:
        """Those to look at now that nobody holds, the longest due first."""
        at = epoch(now)
        query = (
            select(_R)
            .where(_R.c.due <= at, _R.c.held_until <= at, _R.c.ended.is_(False))
            .order_by(_R.c.due, _R.c.address, _R.c.purpose)
            .limit(MAXIMUM_DUE)
        )
        with self._database.reading() as connection:
            return tuple(_request(row) for row in connection.execute(query))

    def claim(self, request: Request, holder: str, now: datetime) -> bool:
        """Whether this node is to ask; another one did so, or is doing it, otherwise."""
        at = epoch(now)
        free = and_(
            _is(request), _R.c.due == epoch(request.due), _R.c.held_until <= at, ~_R.c.ended
        )
        taken = {"holder": holder, "held_until": epoch(now + LEASE)}
        with self._database.writing() as connection:
            return connection.execute(update(_R).where(free).values(taken)).rowcount > 0

    def settle(self, request: Request, holder: str, outcome: Outcome) -> bool:
        """Remember what asking came to, and let go; false when somebody took over."""
        values = {
            "state": outcome.state,
            "waits_for": outcome.waits_for,
            "tries": outcome.tries,
            "fault": outcome.fault,
            "ended": outcome.ended,
            "due": epoch(outcome.due),
            "holder": "",
            "held_until": 0,
        }
        held = and_(_is(request), _R.c.holder == holder)
        with self._database.writing() as connection:
            return connection.execute(update(_R).where(held).values(values)).rowcount > 0

    def finish(
        self,
        request: Request,
        chain: tuple[Certificate, ...],
        *,
        now: datetime,
        source: Literal["issued", "imported"] = "issued",
    ) -> bool:
        """File certificate, issuers and key, make them current and forget the request.

        All of it or nothing; false when the request was given up or finished by another.
        """
        with self._database.writing() as connection:
            row = connection.execute(select(_R.c.sealed).where(_is(request))).first()
            if row is None:
                return False
            # as it is now: it may have been sealed anew since it was read
            stored = StoredKey(chain[0], request.key_id, request.purpose, row.sealed)
            for issuer in chain[1:]:
                file_certificate(connection, issuer, now)
            keys.make_current(
                connection, request.address, KINDS[request.purpose], stored, source=source, now=now
            )
            connection.execute(delete(_R).where(_is(request)))
            bump(connection)
        return True

    # The current certificates, whoever issued them

    def current(self) -> frozenset[tuple[str, str]]:
        """Every address and kind that has one."""
        with self._database.reading() as connection:
            rows = connection.execute(select(_E.c.address, _E.c.kind))
            return frozenset((row.address, row.kind) for row in rows)

    def ending(
        self, since: datetime, until: datetime
    ) -> tuple[tuple[str, Usage, Certificate], ...]:
        """Address, kind and certificate of those that end within a span, soonest first."""
        query = (
            select(_E.c.address, _E.c.kind, _C.c.der)
            .join_from(_E, _C)
            .where(_C.c.not_after >= epoch(since), _C.c.not_after < epoch(until))
            .order_by(_C.c.not_after, _E.c.address, _E.c.kind)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query)
            return tuple((row.address, row.kind, revive(row.der)) for row in rows)


_PLAIN = (
    "address",
    "purpose",
    "source",
    "key_id",
    "sealed",
    "pkcs10",
    "replacing",
    "state",
    "waits_for",
    "tries",
    "fault",
    "ended",
)


def _is(request: Request) -> ColumnElement[bool]:
    """This very request: a later one for the same address has another key."""
    return and_(
        _R.c.address == request.address,
        _R.c.purpose == request.purpose,
        _R.c.key_id == request.key_id,
    )


def _request(row: Row[Any]) -> Request:
    plain = {name: getattr(row, name) for name in _PLAIN}
    return Request(
        **{**plain, "purpose": cast("Purpose", row.purpose)},
        created=moment(row.created),
        due=moment(row.due),
    )
