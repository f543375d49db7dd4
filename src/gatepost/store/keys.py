"""Private keys at rest, and which certificate is the current one of an address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import Connection, Row, and_, select

from gatepost.certificate import Certificate
from gatepost.store import schema
from gatepost.store.filing import epoch, file_address, file_certificate, revive
from gatepost.store.record import Address, KeyPurpose, Source, StoredKey, address_key
from gatepost.store.upsert import insert

_C, _A, _K = schema.certificate, schema.certificate_address, schema.private_key
_KEYS = select(_C.c.der, _K.c.key_id, _K.c.purpose, _K.c.sealed).join_from(_K, _C)


def file(
    connection: Connection,
    key: StoredKey,
    addresses: Iterable[Address],
    source: Source,
    now: datetime,
) -> None:
    """Keep a sealed key; given again, it replaces what was kept."""
    file_certificate(connection, key.certificate, now)
    row = insert(connection, _K).values(
        fingerprint=key.certificate.fingerprint,
        key_id=key.key_id,
        purpose=key.purpose,
        sealed=key.sealed,
        added_at=epoch(now),
    )
    new = {name: row.excluded[name] for name in ("key_id", "purpose", "sealed")}
    connection.execute(row.on_conflict_do_update(index_elements=["fingerprint"], set_=new))
    for address in addresses:
        file_address(connection, key.certificate, address_key(address), source, now)


def filed_for(connection: Connection, key: str) -> tuple[StoredKey, ...]:
    """The keys of every certificate filed for an address, those valid longest first."""
    query = (
        _KEYS.join(_A, _A.c.fingerprint == _C.c.fingerprint)
        .where(_A.c.address == key)
        .order_by(_C.c.not_after.desc(), _C.c.not_before.desc(), _C.c.fingerprint)
    )
    return tuple(_stored(row) for row in connection.execute(query))


def of(connection: Connection, certificate: Certificate) -> StoredKey | None:
    """The key of one certificate."""
    query = _KEYS.where(_K.c.fingerprint == certificate.fingerprint)
    row = connection.execute(query).one_or_none()
    return None if row is None else _stored(row)


def enrolled(connection: Connection, key: str, kind: str) -> Certificate | None:
    """The current certificate of this kind."""
    table = schema.enrolment
    der = connection.execute(
        select(_C.c.der)
        .join_from(table, _C)
        .where(and_(table.c.address == key, table.c.kind == kind))
    ).scalar()
    return None if der is None else revive(der)


def enrol(
    connection: Connection,
    address: str,
    kinds: Sequence[str],
    key: StoredKey,
    *,
    replacing: Certificate | None,
    now: datetime,
) -> Certificate:
    """Compare and swap: only who knows the current certificate may replace it.

    Of several kinds the first decides: who makes a certificate for all of them begins with it.
    """
    current = enrolled(connection, address, kinds[0])
    if current is not None and current != replacing:
        return current
    make_current(connection, address, kinds, key, source="issued", now=now)
    return key.certificate


def make_current(
    connection: Connection,
    address: str,
    kinds: Iterable[str],
    key: StoredKey,
    *,
    source: Source,
    now: datetime,
) -> None:
    """Keep a key whose certificate is used from now on; the one before still decrypts."""
    file(connection, key, [address], source, now)
    for kind in kinds:
        row = insert(connection, schema.enrolment).values(
            address=address, kind=kind, fingerprint=key.certificate.fingerprint, at=epoch(now)
        )
        new = {"fingerprint": row.excluded.fingerprint, "at": row.excluded.at}
        connection.execute(row.on_conflict_do_update(index_elements=["address", "kind"], set_=new))


def _stored(row: Row[bytes, str, str, bytes]) -> StoredKey:
    der, key_id, purpose, sealed = row
    return StoredKey(revive(der), key_id, cast("KeyPurpose", purpose), sealed)
