"""Certificates as values."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from tests.pki_builder import company, user

from gatepost.certificate import Certificate
from gatepost.errors import Malformed

KEY = ec.generate_private_key(ec.SECP256R1())


def made(name: x509.Name, serial: int = 5) -> Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(serial)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    )
    return Certificate.from_x509(builder.sign(KEY, hashes.SHA256()))


def test_names_are_the_very_octets() -> None:
    """IssuerAndSerialNumber would not match what the owner's mail program looks for."""
    one = user("alice@example.com", "p256").certificate
    assert one.der.count(one.issuer) == 1
    assert (
        one.issuer
        == company().certificate.subject
        == company().certificate.x509.subject.public_bytes()
    )
    old = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Bank", _ASN1Type.PrintableString),
            x509.NameAttribute(NameOID.COMMON_NAME, "Bücher", _ASN1Type.BMPString),
        ]
    )
    assert made(old).subject == made(old).issuer == old.public_bytes()
    assert made(x509.Name([])).subject == b"\x30\x00"


def test_a_serial_number_of_zero_is_read_without_a_word() -> None:
    """Old roots have it; the library's warning would fill the log, or stop the mail."""
    der = made(x509.Name([]), serial=5).der.replace(b"\x02\x01\x05\x30", b"\x02\x01\x00\x30", 1)
    assert Certificate.from_der(der).serial == 0


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x30\x00", b"\x30\x80\x00\x00", bytes(100), b"\xff" * 70_000]
)
def test_garbage_is_malformed(der: bytes) -> None:
    """A hostile certificate would raise something nobody catches."""
    with pytest.raises(Malformed):
        Certificate.from_der(der)


def test_every_cut_and_flip_is_a_certificate_or_malformed() -> None:
    """A hostile certificate would raise something nobody catches."""
    der = user("alice@example.com", "p256").certificate.der
    for position in range(len(der)):
        for broken in (
            der[:position],
            der[:position] + bytes((der[position] ^ 0x81,)) + der[position + 1 :],
        ):
            try:
                read = Certificate.from_der(broken)
            except Malformed:
                continue
            assert read.name is not None
            assert read.is_authority in {True, False}
