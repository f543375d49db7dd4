"""Certificates that are not quite DER, as CAs have issued them by the thousand."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from tests import pki_builder

from gatepost.certificate import Certificate, mend
from gatepost.cms import der
from gatepost.errors import Malformed
from gatepost.pki.validate import Anchors, validate

NOW = datetime(2026, 6, 1, tzinfo=UTC)
COMPANY = pki_builder.company("Mended", "rsa2048")
ANCHORS = Anchors(frozenset({pki_builder.company_root("Mended", "rsa2048").certificate}))


@cache
def issued(*, spelled_out: bool = False, latin: bool = False) -> bytes:
    """A certificate with these faults, signed by the company as it stands."""
    whole = COMPANY.user("juergen@example.com").certificate.der
    body = list(mend._elements(Certificate.from_der(whole).signed[4:]))
    if latin:
        name = der.sequence(der.oid("2.5.4.3"), der.tlv(0x14, "Jürgen".encode("latin-1")))
        body[5] = 0x30, der.tlv(0x31, name)
    if spelled_out:
        body[-1] = 0xA3, der.sequence(*map(_spelled, _inside(_inside(body[-1][1])[0])))
    signed = der.sequence(*(der.tlv(tag, octets) for tag, octets in body))
    assert isinstance(COMPANY.key, rsa.RSAPrivateKey)
    signature = COMPANY.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    algorithm = der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL)
    return der.sequence(signed, algorithm, der.bit_string(signature))


def _inside(octets: bytes) -> list[bytes]:
    return [inner for _, inner in mend._elements(octets)]


def _spelled(extension: bytes) -> bytes:
    """With `critical FALSE` where the default says it already."""
    oid, *rest = (der.tlv(tag, octets) for tag, octets in mend._elements(extension))
    critical, value = rest[:-1] or [b"\x01\x01\x00"], rest[-1]
    if oid == der.oid("2.5.29.19"):  # basicConstraints of somebody who is no authority
        value = der.octet_string(der.sequence(b"\x01\x01\x00"))
    if oid == der.oid("2.5.29.35"):  # authorityKeyIdentifier with [1] and [2] too
        city = der.sequence(der.oid("2.5.4.7"), der.tlv(0x14, "Köln".encode("latin-1")))
        key = _inside(_inside(_inside(extension)[-1])[0])[0]
        name = der.tlv(0xA1, der.tlv(0xA4, der.sequence(der.tlv(0x31, city))))
        value = der.octet_string(der.sequence(der.tlv(0x80, key), name, der.tlv(0x82, b"\1")))
    return der.sequence(oid, *critical, value)


@pytest.mark.parametrize(
    "faults",
    [{"spelled_out": True}, {"latin": True}, {"spelled_out": True, "latin": True}],
    ids=str,
)
def test_read_and_trusted_as_it_came(faults: dict[str, bool]) -> None:
    """Everybody at that company is called unsigned, and nobody there can be written to."""
    octets = issued(**faults)
    found = Certificate.from_der(octets)

    assert (found.der, found.emails) == (octets, ("juergen@example.com",))
    assert found.name == ("Jürgen" if "latin" in faults else "juergen@example.com")
    assert found.subject in octets
    assert found.signed in octets
    assert Certificate.from_pem(found.pem.encode()) == (found,)
    assert validate(found, COMPANY.chain, ANCHORS, moment=NOW).trusted


@pytest.mark.parametrize("at", [30, 200, -30])
def test_mending_makes_no_forgery_good(at: int) -> None:
    """The signature would be checked over what we mended, not over what was signed."""
    octets = bytearray(issued(spelled_out=True, latin=True))
    octets[at] ^= 1
    try:
        found = Certificate.from_der(bytes(octets))
    except Malformed:
        return
    assert not validate(found, COMPANY.chain, ANCHORS, moment=NOW).trusted


def test_what_needs_no_mending_stays_as_it_is() -> None:
    """Two readings of one certificate would be two certificates."""
    for one in (*COMPANY.chain, COMPANY.user("a@example.com").certificate):
        assert mend.mended(one.der) == one.der
        assert one.signed == one.x509.tbs_certificate_bytes
        assert one.pem.encode() == one.x509.public_bytes(serialization.Encoding.PEM)


@given(st.binary(max_size=200), st.integers(0, 600))
def test_nothing_but_value_errors(noise: bytes, at: int) -> None:
    """A stranger's certificate ends the connection of everybody else's mail."""
    octets = issued(spelled_out=True)
    for hostile in (noise, octets[:at] + noise + octets[at:], octets[:at]):
        try:
            Certificate.from_der(hostile)
        except Malformed:
            continue
