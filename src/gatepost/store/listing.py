"""Search the directory for people: what `cert list` and the pages show."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, false, not_, or_, select

from gatepost.certificate import Certificate
from gatepost.errors import ConfigError
from gatepost.store import schema
from gatepost.store.filing import moment, revive
from gatepost.store.record import Address, Entry, Use, address_key

_C, _A, _K = schema.certificate, schema.certificate_address, schema.private_key

_ONE = select(_C.c.der).where(_C.c.fingerprint == bindparam("fingerprint"))


def find(
    connection: Connection,
    text: str,
    *,
    address: Address | None,
    authority: bool | None,
    limit: int,
    offset: int,
) -> tuple[Entry, ...]:
    """Certificates by any part of their name, subject or address, or start of fingerprint."""
    query = select(_C.c.fingerprint).order_by(_C.c.name, _C.c.not_after.desc(), _C.c.fingerprint)
    if text:
        filed = select(_A.c.fingerprint).where(_A.c.address.icontains(text, autoescape=True))
        query = query.where(
            or_(
                _C.c.subject.icontains(text, autoescape=True),
                _begins(text),
                _C.c.fingerprint.in_(filed),
            )
        )
    if address is not None:
        filed = select(_A.c.fingerprint).where(_A.c.address == address_key(address))
        query = query.where(_C.c.fingerprint.in_(filed))
    if authority is not None:
        query = query.where(_C.c.authority if authority else not_(_C.c.authority))
    return _entries(connection, query.limit(limit).offset(offset))


def entry(connection: Connection, fingerprint: str) -> Entry:
    """The one certificate whose fingerprint begins so."""
    found = _entries(connection, select(_C.c.fingerprint).where(_begins(fingerprint)).limit(2))
    if len(found) != 1:
        many = "more than one certificate has" if found else "no certificate has"
        raise ConfigError(f"{many} a fingerprint beginning with {fingerprint!r}")
    return found[0]


def certificate(connection: Connection, fingerprint: str) -> Certificate:
    """The one of this whole fingerprint; raises ConfigError when it is not here."""
    der = connection.execute(_ONE, {"fingerprint": fingerprint}).scalar()
    if der is None:
        raise ConfigError(f"no certificate has the fingerprint {fingerprint}")
    return revive(der)


def _begins(fingerprint: str) -> ColumnElement[bool]:
    """By an index, which LIKE would not use; digits and a to f come before g everywhere."""
    start = fingerprint.replace(":", "").lower()
    if not start or start.strip("0123456789abcdef"):
        return false()
    return and_(_C.c.fingerprint >= start, _C.c.fingerprint < f"{start}g")


def _entries(connection: Connection, query: Select[str]) -> tuple[Entry, ...]:
    wanted = list(connection.execute(query).scalars())
    uses = _uses(connection, wanted)
    rows = connection.execute(
        select(_C.c.fingerprint, _C.c.der, _C.c.added_at, _K.c.purpose)
        .join_from(_C, _K, isouter=True)
        .where(_C.c.fingerprint.in_(wanted))
    )
    found = {
        at: Entry(revive(der), tuple(uses.get(at, [])), purpose, moment(added))
        for at, der, added, purpose in rows
    }
    return tuple(found[at] for at in wanted)


def _uses(connection: Connection, wanted: list[str]) -> dict[str, list[Use]]:
    found: dict[str, list[Use]] = {}
    query = select(_A).where(_A.c.fingerprint.in_(wanted)).order_by(_A.c.address)
    for row in connection.execute(query):
        use = Use(row.address, row.source, moment(row.first_seen), moment(row.last_seen))
        found.setdefault(row.fingerprint, []).append(use)
    return found
