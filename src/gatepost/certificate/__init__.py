"""An X.509 certificate, parsed once (RFC 5280); what CMS names it by and what trust reads from it.

`cms` computes with certificates and `pki` judges them; neither may know the other,
so the value they share stands below both.
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from gatepost.certificate import mend
from gatepost.errors import Malformed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

MAXIMUM_SIZE = 64 * 1024
_Parsed = x509.Certificate
_QUIET = threading.Lock()  # Python's warning filters belong to the whole process


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """One certificate.  Equal and hashed by its DER octets."""

    der: bytes
    x509: x509.Certificate = field(repr=False)
    issuer: bytes  # DER Name, for IssuerAndSerialNumber
    subject: bytes  # DER Name
    serial: int
    key_id: bytes | None  # subjectKeyIdentifier
    public_key: CertificatePublicKeyTypes | None = field(repr=False)  # None: algorithm unknown
    emails: tuple[str, ...]  # rfc822Name of the SAN, then emailAddress of the subject
    key_usage: frozenset[str] | None  # RFC 5280 names; None: extension absent
    extended_key_usage: frozenset[str] | None  # dotted OIDs; None: extension absent
    not_before: datetime  # aware, UTC
    not_after: datetime  # aware, UTC
    fingerprint: str  # SHA-256 of the DER, lower-case hex

    @classmethod
    def from_der(cls, der: bytes) -> Certificate:
        """Parse DER octets; raises Malformed.  Parsed values are cached by content."""
        return _parse(bytes(der))

    @classmethod
    def from_x509(cls, parsed: _Parsed) -> Certificate:
        """Take over a certificate that `cryptography` has parsed or made."""
        return _parse(parsed.public_bytes(serialization.Encoding.DER))

    @classmethod
    def from_pem(cls, pem: bytes) -> tuple[Certificate, ...]:
        """Parse every CERTIFICATE block of PEM text; raises Malformed."""
        try:
            with quietly():
                found = x509.load_pem_x509_certificates(pem)
        except ValueError as error:
            if blocks := _BLOCK.findall(pem):
                return tuple(cls.from_der(_decoded(one)) for one in blocks)
            raise Malformed(f"not PEM certificates: {error}") from error
        return tuple(cls.from_x509(one) for one in found)

    @property
    def pem(self) -> str:
        """The certificate as PEM text."""
        text = base64.b64encode(self.der).decode("ascii")
        lines = (text[at : at + 64] + "\n" for at in range(0, len(text), 64))
        return f"-----BEGIN CERTIFICATE-----\n{''.join(lines)}-----END CERTIFICATE-----\n"

    @property
    def signed(self) -> bytes:
        """The octets its issuer has signed, as they came."""
        return _signed(self.der)

    @property
    def name(self) -> str:
        """A short name for people: the common name, else the first address, else the subject."""
        with quietly():
            subject = self.x509.subject
        common = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if common:
            return str(common[0].value)
        return self.emails[0] if self.emails else subject.rfc4514_string()

    @property
    def is_authority(self) -> bool:
        """Whether basicConstraints says CA."""
        try:
            found = self.x509.extensions.get_extension_for_class(x509.BasicConstraints)
        except x509.ExtensionNotFound:
            return False
        return found.value.ca

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and other.der == self.der

    def __hash__(self) -> int:
        return hash(self.der)


_FAULTS = (
    ValueError,
    TypeError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_BLOCK = re.compile(rb"-----BEGIN (?:X509 )?CERTIFICATE-----([^-]*)-----END")


@lru_cache(maxsize=4096)
def _parse(der: bytes) -> Certificate:
    if len(der) > MAXIMUM_SIZE:
        raise Malformed(f"certificate of {len(der)} octets is over the limit of {MAXIMUM_SIZE}")
    try:
        with quietly():
            return _read(der, x509.load_der_x509_certificate(der))
    except _FAULTS as error:
        return _second_reading(der, str(error))


def _second_reading(der: bytes, wrong: str) -> Certificate:
    """With the faults mended that are known from the world; else as wrong as it was."""
    try:
        with quietly():
            return _read(der, x509.load_der_x509_certificate(mend.mended(der)))
    except _FAULTS as error:
        raise Malformed(f"not a certificate: {wrong}") from error


def _decoded(block: bytes) -> bytes:
    try:
        return base64.b64decode(block)
    except ValueError as error:
        raise Malformed(f"not PEM certificates: {error}") from error


def _signed(der: bytes) -> bytes:
    start = _element(der, 0)[0]
    return der[start : _element(der, start)[1]]


def _read(der: bytes, parsed: x509.Certificate) -> Certificate:
    extensions = parsed.extensions
    issuer, subject = _names(_signed(der))
    key_id = _extension(extensions, ExtensionOID.SUBJECT_KEY_IDENTIFIER)
    return Certificate(
        der=der,
        x509=parsed,
        issuer=issuer,
        subject=subject,
        serial=parsed.serial_number,
        key_id=key_id.digest if isinstance(key_id, x509.SubjectKeyIdentifier) else None,
        public_key=_public_key(parsed),
        emails=_emails(parsed, extensions),
        key_usage=_key_usage(_extension(extensions, ExtensionOID.KEY_USAGE)),
        extended_key_usage=_purposes(_extension(extensions, ExtensionOID.EXTENDED_KEY_USAGE)),
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        fingerprint=hashlib.sha256(der).hexdigest(),
    )


@contextmanager
def quietly() -> Iterator[None]:
    """Read what strangers wrote without warnings about it: a serial of 0 is no event of ours."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _names(tbs: bytes) -> tuple[bytes, bytes]:
    """Issuer and subject exactly as written: composing them anew may change string types.

    RFC 5280 section 4.1: [0] version, serialNumber, signature, issuer, validity, subject.
    """
    position = _element(tbs, 0)[0]
    if tbs[position] == 0xA0:
        position = _element(tbs, position)[1]
    for _ in range(2):
        position = _element(tbs, position)[1]
    issuer_end = _element(tbs, position)[1]
    subject_start = _element(tbs, issuer_end)[1]
    return tbs[position:issuer_end], tbs[subject_start : _element(tbs, subject_start)[1]]


def _element(der: bytes, start: int) -> tuple[int, int]:
    """Where the content of the DER element at `start` begins and ends; DER already checked."""
    length, body = der[start + 1], start + 2
    if length & 0x80:
        body += length & 0x7F
        length = int.from_bytes(der[start + 2 : body], "big")
    return body, body + length


def _extension(
    extensions: x509.Extensions, oid: x509.ObjectIdentifier
) -> x509.ExtensionType | None:
    try:
        return extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None


def _public_key(parsed: x509.Certificate) -> CertificatePublicKeyTypes | None:
    try:
        return parsed.public_key()
    except Exception:  # noqa: BLE001  an unknown algorithm is a fact about the certificate, not an error
        return None


def _emails(parsed: x509.Certificate, extensions: x509.Extensions) -> tuple[str, ...]:
    found: list[str] = []
    names = _extension(extensions, ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    if isinstance(names, x509.SubjectAlternativeName):
        found += names.get_values_for_type(x509.RFC822Name)
    found += [str(a.value) for a in parsed.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]
    return tuple(dict.fromkeys(found))


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def _key_usage(value: x509.ExtensionType | None) -> frozenset[str] | None:
    if not isinstance(value, x509.KeyUsage):
        return None
    return frozenset(name for name in _USAGES if getattr(value, name))


def _purposes(value: x509.ExtensionType | None) -> frozenset[str] | None:
    if not isinstance(value, x509.ExtendedKeyUsage):
        return None
    return frozenset(purpose.dotted_string for purpose in value)


EMAIL_PROTECTION = ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string
ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string
