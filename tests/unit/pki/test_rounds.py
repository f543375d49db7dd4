"""Files whose password is to be derived into a key for hours, however they are written."""

from __future__ import annotations

import base64

import pytest

from gatepost.cms.der import NULL, integer, octet_string, oid, sequence, tlv
from gatepost.errors import LimitExceeded, Malformed
from gatepost.pki import pem, rounds

HUGE = 1 << 40
AES = sequence(oid("2.16.840.1.101.3.4.1.42"), octet_string(bytes(16)))


def sealed(derivation: bytes) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5958 section 3) by PBES2."""
    scheme = sequence(oid("1.2.840.113549.1.5.13"), sequence(derivation, AES))
    return sequence(scheme, octet_string(bytes(64)))


def pbkdf2(count: int, salt: bytes = b"salt") -> bytes:
    """RFC 8018 appendix A.2."""
    mac = sequence(oid("1.2.840.113549.2.9"), NULL)
    given = sequence(octet_string(salt), integer(count), mac)
    return sequence(oid("1.2.840.113549.1.5.12"), given)


def scrypt(cost: int, size: int, lanes: int) -> bytes:
    """RFC 7914 section 7.1."""
    counts = map(integer, (cost, size, lanes))
    return sequence(oid("1.3.6.1.4.1.11591.4.11"), sequence(octet_string(b"salt"), *counts))


def old(count: int) -> bytes:
    """PBES1 and PKCS #12's own (RFC 7292 appendix C)."""
    given = sequence(octet_string(b"salt"), integer(count))
    return sequence(sequence(oid("1.2.840.113549.1.12.1.3"), given), octet_string(bytes(64)))


def split(octets: bytes) -> bytes:
    """An OCTET STRING in pieces of seven octets, of indefinite length."""
    pieces = (octet_string(octets[at : at + 7]) for at in range(0, len(octets), 7))
    return b"\x24\x80" + b"".join(pieces) + b"\0\0"


@pytest.mark.parametrize(
    "octets",
    [
        sealed(pbkdf2(HUGE)),
        sealed(pbkdf2(HUGE, bytes(200))),
        sealed(pbkdf2(1 << 70)),
        sealed(scrypt(1 << 14, 8, 1 << 20)),
        sealed(scrypt(1 << 30, 8, 1)),
        old(HUGE),
        sequence(integer(3), octet_string(sealed(pbkdf2(HUGE)))),
        sequence(integer(3), split(sealed(pbkdf2(HUGE)))),
        b"\x30\x80" + sealed(pbkdf2(HUGE)) + b"\0\0",
        sequence(b"\xbf\x81\x01" + bytes((len(old(HUGE)),)) + old(HUGE)),
        sequence(
            integer(3), sequence(), sequence(sequence(), octet_string(b"salt"), integer(HUGE))
        ),
    ],
)
def test_hours_of_work(octets: bytes) -> None:
    """A key file from a stranger's web site keeps a processor busy until somebody kills it."""
    with pytest.raises(LimitExceeded):
        rounds.check(octets)


def test_a_private_key_that_asks_for_hours() -> None:
    """Only PKCS #12 was looked at, and a key as PEM asked for what it liked."""
    octets = sealed(scrypt(1 << 20, 8, 1000))
    text = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + base64.encodebytes(octets)
    for one in (octets, text + b"-----END ENCRYPTED PRIVATE KEY-----\n"):
        with pytest.raises(LimitExceeded, match="too much work"):
            pem.read_key(one, "x")
    with pytest.raises(Malformed):
        pem.read_key(text, "x")
    with pytest.raises(Malformed, match="can be read"):
        pem.read_key(text + b"a: b\n\n-----END ENCRYPTED PRIVATE KEY-----\n", "x")


def test_what_is_usual_passes() -> None:
    """Files of today's programs are refused."""
    for one in (pbkdf2(2_000_000), scrypt(1 << 17, 8, 1), scrypt(1 << 20, 8, 1)):
        rounds.check(sealed(one))
    rounds.check(old(2048))


def test_damage_and_floods(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file ends with an error nobody expects, or is read for hours itself."""
    whole = sealed(pbkdf2(1000))
    for cut in range(len(whole)):
        with pytest.raises(Malformed):
            rounds.check(whole[:cut])
    with pytest.raises(LimitExceeded):
        rounds.check(b"\x30\x80" * 100)
    monkeypatch.setattr(rounds, "MAXIMUM_ELEMENTS", 1000)
    with pytest.raises(LimitExceeded):
        rounds.check(tlv(0x30, NULL * 1000))
    rounds.check(tlv(0x30, NULL * 999))
