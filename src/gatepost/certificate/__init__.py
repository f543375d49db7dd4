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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from gatepost.certificate import mend, trait
from gatepost.certificate import name as names
from gatepost.certificate.key import Kind, kind_of
from gatepost.certificate.trait import Traits
from gatepost.errors import Malformed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

MAXIMUM_SIZE = 64 * 1024
_Parsed = x509.Certificate
_QUIET = threading.Lock()  # Python's warning filters belong to the whole process
_alive: WeakValueDictionary[bytes, Certificate] = WeakValueDictionary()
_ALIVE = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Certificate:
    """One certificate.  The same DER octets give the same object, so it is compared at no cost."""

    der: bytes
    x509: x509.Certificate = field(repr=False)
    signed: bytes = field(repr=False)  # the octets its issuer has signed, as they came
    # AlgorithmIdentifier of the signature; empty where inside and outside differ (4.1.1.2)
    algorithm: bytes = field(repr=False)
    is_mended: bool  # what `x509` holds is not quite what came
    issuer: bytes  # DER Name, for IssuerAndSerialNumber
    subject: bytes  # DER Name
    folded_issuer: bytes = field(repr=False)  # equal octets are equal names
    folded_subject: bytes = field(repr=False)
    key_info: bytes = field(repr=False)  # SubjectPublicKeyInfo, as it came
    serial: int
    key_id: bytes | None  # subjectKeyIdentifier
    public_key: CertificatePublicKeyTypes | None = field(repr=False)  # None: algorithm unknown
    key_kind: Kind
    key_bits: int  # of an RSA modulus or the order of a curve; 0 where the algorithm says it all
    emails: tuple[str, ...]  # rfc822Name of the SAN, then emailAddress of the subject
    key_usage: frozenset[str] | None  # RFC 5280 names; None: extension absent
    extended_key_usage: frozenset[str] | None  # dotted OIDs; None: extension absent
    is_authority: bool  # whether basicConstraints says CA
    not_before: datetime  # aware, UTC
    not_after: datetime  # aware, UTC
    fingerprint: str  # SHA-256 of the DER, lower-case hex
    traits: Traits = field(repr=False)

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
        except _FAULTS as error:
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
    def name(self) -> str:
        """A short name for people: the common name, else the first address, else the subject."""
        with quietly():
            subject = self.x509.subject
        common = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if common:
            return str(common[0].value)
        return self.emails[0] if self.emails else subject.rfc4514_string()

    @property
    def spelled_issuer(self) -> str:
        """For people, and for what is remembered (RFC 4514)."""
        found = _spelled.get(octets := (self.issuer, self.is_mended))
        if found is None:
            found = _spelled.keep(octets, self._spell_issuer())
        return found

    def _spell_issuer(self) -> str:
        if self.folded_issuer.startswith(_UNREADABLE):
            return names.UNREADABLE
        with quietly():
            return names.spelled(self.x509.issuer)

    @property
    def self_issued(self) -> bool:
        """RFC 5280 section 6.1: the names are equal, whoever's key signed it."""
        return self.folded_subject == self.folded_issuer

    @property
    def subject_emails(self) -> tuple[str, ...]:
        """Addresses in the subject."""
        return _subject_emails(self.x509.subject)

    def __reduce__(self) -> tuple[Callable[[bytes], Certificate], tuple[bytes]]:
        return _parse, (self.der,)


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
    """The cache keeps the latest; one that somebody still holds is found again without it."""
    known = _alive.get(der)
    if known is not None:
        return known
    if len(der) > MAXIMUM_SIZE:
        raise Malformed(f"certificate of {len(der)} octets is over the limit of {MAXIMUM_SIZE}")
    made = _first_reading(der)
    with _ALIVE:
        return _alive.setdefault(der, made)


def _first_reading(der: bytes) -> Certificate:
    try:
        with quietly():
            return _read(der, x509.load_der_x509_certificate(der))
    except _FAULTS as error:
        return _second_reading(der, str(error))


def _second_reading(der: bytes, wrong: str) -> Certificate:
    """With the faults mended that are known from the world; else as wrong as it was."""
    try:
        with quietly():
            return _read(der, x509.load_der_x509_certificate(mend.mended(der)), is_mended=True)
    except _FAULTS as error:
        raise Malformed(f"not a certificate: {wrong}") from error


def _decoded(block: bytes) -> bytes:
    try:
        return base64.b64decode(block)
    except ValueError as error:
        raise Malformed(f"not PEM certificates: {error}") from error


def _read(der: bytes, parsed: x509.Certificate, *, is_mended: bool = False) -> Certificate:
    said, traits = trait.read(parsed.extensions)
    signed, algorithm, issuer, subject, key_info = _slices(der)
    key_id, basic = said.get(_KEY_ID), said.get(_BASIC)
    public_key, subject_name = _public_key(parsed), parsed.subject
    return Certificate(
        der=der,
        x509=parsed,
        signed=signed,
        algorithm=algorithm,
        is_mended=is_mended,
        issuer=issuer,
        subject=subject,
        folded_issuer=_issuer_name((issuer, is_mended), parsed),
        folded_subject=_subject_name((subject, is_mended), subject_name),
        key_info=key_info,
        serial=parsed.serial_number,
        key_id=key_id.digest if key_id else None,
        public_key=public_key,
        key_kind=kind_of(public_key),
        key_bits=getattr(public_key, "key_size", 0),
        emails=_emails(traits, subject, subject_name),
        key_usage=_key_usage(said.get(_KEY_USAGE)),
        extended_key_usage=_purposes(said.get(_PURPOSES)),
        is_authority=basic is not None and basic.ca,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        fingerprint=hashlib.sha256(der).hexdigest(),
        traits=traits,
    )


_KEY_ID, _BASIC = ExtensionOID.SUBJECT_KEY_IDENTIFIER, ExtensionOID.BASIC_CONSTRAINTS
_KEY_USAGE, _PURPOSES = ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE


_folded: names.Memory[bytes] = names.Memory()
_spelled: names.Memory[str] = names.Memory()
_UNREADABLE = b"\xff"  # those that can be read begin with a length


def _issuer_name(octets: tuple[bytes, bool], parsed: x509.Certificate) -> bytes:
    """One that cannot be read equals no other."""
    try:
        return _folded.get(octets) or _folded.keep(octets, names.key(parsed.issuer))
    except ValueError:
        return _UNREADABLE + octets[0]


def _subject_name(octets: tuple[bytes, bool], name: x509.Name) -> bytes:
    return _folded.get(octets) or _folded.keep(octets, names.key(name))


@contextmanager
def quietly() -> Iterator[None]:
    """Read what strangers wrote without warnings about it: a serial of 0 is no event of ours."""
    with _QUIET, warnings.catch_warnings(action="ignore"):
        yield


def _slices(der: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """What was signed, by which algorithm, issuer, subject and key, exactly as written.

    Composing names anew may change string types.  RFC 5280 section 4.1: [0] version,
    serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo.
    """
    start = _element(der, 0)[0]
    position, end = _element(der, start)
    if der[position] == 0xA0:
        position = _element(der, position)[1]
    algorithm = _element(der, position)[1]
    issuer = _element(der, algorithm)[1]
    validity = _element(der, issuer)[1]
    subject = _element(der, validity)[1]
    key = _element(der, subject)[1]
    inside, outside = der[algorithm:issuer], der[end : _element(der, end)[1]]
    return (
        der[start:end],
        inside if inside == outside else b"",
        der[issuer:validity],
        der[subject:key],
        der[key : _element(der, key)[1]],
    )


def _element(der: bytes, start: int) -> tuple[int, int]:
    """Where the content of the DER element at `start` begins and ends; DER already checked."""
    length, body = der[start + 1], start + 2
    if length & 0x80:
        body += length & 0x7F
        length = int.from_bytes(der[start + 2 : body], "big")
    return body, body + length


def _public_key(parsed: x509.Certificate) -> CertificatePublicKeyTypes | None:
    try:
        return parsed.public_key()
    except Exception:  # noqa: BLE001  an unknown algorithm is a fact about the certificate, not an error
        return None


def _emails(traits: Traits, subject: bytes, name: x509.Name) -> tuple[str, ...]:
    found = [one.value for one in traits.alternative if isinstance(one, x509.RFC822Name)]
    if _EMAIL_ADDRESS in subject:
        found += _subject_emails(name)
    return tuple(dict.fromkeys(found))


_EMAIL_ADDRESS = bytes.fromhex("2a864886f70d010901")  # 1.2.840.113549.1.9.1


def _subject_emails(subject: x509.Name) -> tuple[str, ...]:
    return tuple(str(a.value) for a in subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS))


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)


def _key_usage(value: x509.KeyUsage | None) -> frozenset[str] | None:
    if value is None:
        return None
    return frozenset([name for name in _USAGES if getattr(value, name)])


def _purposes(value: x509.ExtendedKeyUsage | None) -> frozenset[str] | None:
    if value is None:
        return None
    return frozenset([purpose.dotted_string for purpose in value])


EMAIL_PROTECTION = ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string
ANY_PURPOSE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE.dotted_string
