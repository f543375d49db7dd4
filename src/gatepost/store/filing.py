"""Put certificates and their addresses into the directory's tables and take them out again."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, literal, select, text

from gatepost.certificate import Certificate
from gatepost.errors import Refused
from gatepost.store.generation import KEY
from gatepost.store.record import Source
from gatepost.store.schema import certificate as certificates
from gatepost.store.schema import certificate_address as uses
from gatepost.store.upsert import insert

FRESH = timedelta(days=1)  # how exactly `last_seen` is kept; each mail would be a write otherwise

_SEEN = select(uses.c.last_seen).where(
    and_(uses.c.address == bindparam("address"), uses.c.fingerprint == bindparam("fingerprint"))
)
_BUMP = text(
    "INSERT INTO setting (key, value) VALUES (:key, '1') ON CONFLICT (key) "
    "DO UPDATE SET value = CAST(CAST(setting.value AS INTEGER) + 1 AS TEXT)"
)


def epoch(moment: datetime) -> int:
    """Whole seconds since 1970; naive datetimes are a mistake."""
    if moment.tzinfo is None:
        raise ValueError("a moment without time zone")
    return int(moment.timestamp())


def moment(seconds: int) -> datetime:
    """The moment again, aware, in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def revive(der: bytes) -> Certificate:
    """A certificate from our own table: parsed once per process (`Certificate` remembers)."""
    return Certificate.from_der(der)


def name_id(name: bytes) -> str:
    """A DER Name as an index key."""
    return hashlib.sha256(name).hexdigest()


def bump(connection: Connection) -> None:
    """Tell every process that remembered answers are old."""
    connection.execute(_BUMP, {"key": KEY})


def file_certificate(connection: Connection, one: Certificate, now: datetime) -> None:
    """Keep a certificate; nothing happens when it is there already."""
    values: dict[str, Any] = {
        "fingerprint": one.fingerprint,
        "der": one.der,
        "name": clean(one.name),
        "subject": clean(one.x509.subject.rfc4514_string()),
        "issuer": clean(one.x509.issuer.rfc4514_string()),
        "subject_id": name_id(one.subject),
        "authority": one.is_authority,
        "not_before": epoch(one.not_before),
        "not_after": epoch(one.not_after),
        "added_at": epoch(now),
        "serial": f"{one.serial:x}",
    }
    connection.execute(insert(connection, certificates).values(values).on_conflict_do_nothing())


def file_address(
    connection: Connection, one: Certificate, key: str, source: Source, now: datetime
) -> None:
    """Note that the certificate is for this address.

    An administrator's word replaces an earlier one; what was only seen in mail never does.
    """
    if source == "harvested" and key.startswith("@"):
        raise Refused("a certificate for a whole domain is never taken from mail")
    row = insert(connection, uses).values(
        address=key,
        fingerprint=one.fingerprint,
        source=source,
        first_seen=epoch(now),
        last_seen=epoch(now),
    )
    now_seen = epoch(now)
    latest = case((uses.c.last_seen > now_seen, uses.c.last_seen), else_=now_seen)
    kept = uses.c.source if source == "harvested" else literal(source)
    connection.execute(
        row.on_conflict_do_update(
            index_elements=["address", "fingerprint"],
            set_={"source": kept, "last_seen": latest},
        )
    )


def is_fresh(connection: Connection, one: Certificate, key: str, now: datetime) -> bool:
    """Whether this certificate was seen for this address less than a day ago."""
    seen = connection.execute(_SEEN, {"address": key, "fingerprint": one.fingerprint}).scalar()
    return seen is not None and seen > epoch(now - FRESH)


def clean(text: str) -> str:
    """What a stranger named himself, as every database takes it."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
