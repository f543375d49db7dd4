"""Whether a server's certificate chain is the one its TLSA records speak of.

RFC 6698 (records), RFC 7671 (operation), RFC 7672 section 3 (SMTP: PKIX usages are unusable).
Pure: octets of the chain, the names wanted and the time come from outside.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from gatepost.certificate import Certificate
from gatepost.errors import Malformed
from gatepost.mail.delivery import Tlsa
from gatepost.pki.der import first, items

TA, EE = 2, 3  # RFC 7218: trust anchor assertion, domain-issued certificate
CERTIFICATE, KEY = 0, 1
FULL, SHA256, SHA512 = 0, 1, 2
MAXIMUM_CHAIN = 12
_LENGTHS = {SHA256: 32, SHA512: 64}


class Unproven(Exception):
    """The server is not the one the records speak of; the text says why."""


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """The records SMTP can work with (RFC 7672 section 3.1), in a fixed order."""
    good = {one for one in records if _is_usable(one)}
    return tuple(sorted(_agile(good), key=lambda one: (-one.usage, one.selector, one.data)))


def proven(
    records: Sequence[Tlsa], chain: Sequence[bytes], names: Sequence[str], now: datetime
) -> str:
    """Which record the chain (leaf first) fits, in words; raises Unproven.

    `names` count for trust anchors only (RFC 7672 sections 3.1.1 and 3.2.2).
    """
    if not chain:
        raise Unproven("the server showed no certificate")
    for record in records:
        if record.usage == EE and _fits(record, chain[0]):
            return f"TLSA {record} is its certificate"
    anchored = [one for one in records if one.usage == TA]
    reason = "" if not anchored else "no TLSA record names an issuer of its certificate"
    for record in anchored:
        for der in _issuers(record, chain[1:MAXIMUM_CHAIN]):
            reason = _path_fault(chain, der, names, now)
            if not reason:
                return f"TLSA {record} is its issuer"
    raise Unproven(reason or "its certificate is not the one in the TLSA records")


def _is_usable(record: Tlsa) -> bool:
    if record.usage not in (TA, EE) or record.selector not in (CERTIFICATE, KEY):
        return False
    if record.matching == FULL:
        return bool(record.data) and not (record.usage == TA and record.selector == KEY)
    return len(record.data) == _LENGTHS.get(record.matching, -1)


def _agile(records: set[Tlsa]) -> Iterable[Tlsa]:
    """Of two digests of one kind only the stronger counts (RFC 7671 section 9)."""
    strong = {(one.usage, one.selector) for one in records if one.matching == SHA512}
    return (
        one for one in records if one.matching != SHA256 or (one.usage, one.selector) not in strong
    )


def _fits(record: Tlsa, der: bytes) -> bool:
    try:
        selected = der if record.selector == CERTIFICATE else _key(der)
    except IndexError:
        return False
    match record.matching:
        case 0:
            return selected == record.data
        case 1:
            return hashlib.sha256(selected).digest() == record.data
        case _:
            return hashlib.sha512(selected).digest() == record.data


def _key(der: bytes) -> bytes:
    """The subjectPublicKeyInfo as it stands there; writing it anew might change an octet."""
    fields = [one for one in items(first(der)) if one[0] != 0xA0]  # but version
    return fields[5]


def _issuers(record: Tlsa, sent: Sequence[bytes]) -> list[bytes]:
    """Certificates the record stands for; a whole one in the DNS need not be sent."""
    found = [der for der in sent if _fits(record, der)]
    if record.selector == CERTIFICATE and record.matching == FULL and record.data not in found:
        found.append(record.data)
    return found


def _path_fault(chain: Sequence[bytes], anchor: bytes, names: Sequence[str], now: datetime) -> str:
    """Why the leaf does not lead to the anchor under one of these names; empty: it does."""
    try:
        leaf, *between = [Certificate.from_der(one).x509 for one in chain[:MAXIMUM_CHAIN]]
        store = Store([Certificate.from_der(anchor).x509])
    except Malformed as error:
        return str(error)
    builder = (
        PolicyBuilder()
        .store(store)
        .time(now)
        .extension_policies(ca_policy=_authorities(), ee_policy=_leaves())
    )
    fault = "no name to verify"
    for name in names:
        try:
            builder.build_server_verifier(x509.DNSName(name)).verify(leaf, between)
        except (VerificationError, ValueError) as error:
            fault = str(error)
        else:
            return ""
    return fault


def _authorities() -> ExtensionPolicy:
    """RFC 5280 section 4.2.1.9 at least; private issuers leave out what the web's must have."""
    return ExtensionPolicy.permit_all().require_present(
        x509.BasicConstraints, Criticality.AGNOSTIC, None
    )


def _leaves() -> ExtensionPolicy:
    return ExtensionPolicy.permit_all().require_present(
        x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
    )
