"""Certificate revocation lists, read once (RFC 5280 section 5); asking one costs a look-up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import CRLEntryExtensionOID as EntryOID
from cryptography.x509.oid import ExtensionOID

from gatepost.certificate import Certificate, name, quietly
from gatepost.errors import Malformed
from gatepost.pki.strength import WEAK_DIGESTS

MAXIMUM_SIZE = 64 * 1024 * 1024
EVERY_REASON = frozenset(x509.ReasonFlags) - {
    x509.ReasonFlags.unspecified,
    x509.ReasonFlags.remove_from_crl,
}
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_KNOWN = {
    ExtensionOID.ISSUING_DISTRIBUTION_POINT,
    ExtensionOID.DELTA_CRL_INDICATOR,
    ExtensionOID.CRL_NUMBER,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.FRESHEST_CRL,
}
_KNOWN_IN_ENTRIES = {EntryOID.CRL_REASON, EntryOID.INVALIDITY_DATE, EntryOID.CERTIFICATE_ISSUER}
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Entry:
    """One revoked certificate."""

    when: datetime
    reason: str = "unspecified"


@dataclass(frozen=True, slots=True, eq=False)
class Crl:
    """One list; delta lists have a `base` number."""

    parsed: x509.CertificateRevocationList = field(repr=False)
    issuer: bytes  # folded
    this_update: datetime
    next_update: datetime | None
    number: int | None
    base: int | None
    scope: x509.IssuingDistributionPoint | None
    names: frozenset[bytes]  # of its distribution point; empty when it does not say
    key_id: bytes | None
    entries: Mapping[bytes, Mapping[int, Entry]] = field(repr=False)  # by issuer, then serial
    freshest: tuple[str, ...] = ()  # where deltas to it are (section 5.2.6)
    digest: str = ""  # SHA-256 of its octets
    fault: str = ""  # why it decides nothing

    @classmethod
    def from_der(cls, der: bytes) -> Crl:
        """Parse DER octets; raises Malformed."""
        if len(der) > MAXIMUM_SIZE:
            raise Malformed(f"CRL of {len(der)} octets is over the limit of {MAXIMUM_SIZE}")
        try:
            with quietly():
                return _read(x509.load_der_x509_crl(der), der)
        except UNREADABLE as error:
            raise Malformed(f"not a certificate revocation list: {error}") from error

    @property
    def der(self) -> bytes:
        """Its octets."""
        return self.parsed.public_bytes(Encoding.DER)

    @property
    def reasons(self) -> frozenset[x509.ReasonFlags]:
        """Which reasons it lists (RFC 5280 section 5.2.5)."""
        some = self.scope.only_some_reasons if self.scope else None
        return EVERY_REASON if some is None else some

    @property
    def indirect(self) -> bool:
        """Whether it may list certificates of other issuers."""
        return self.scope is not None and self.scope.indirect_crl

    def entry(self, issuer: bytes, serial: int) -> Entry | None:
        """What it says of a certificate; nothing is good news only within its scope."""
        found = self.entries.get(issuer)
        return found.get(serial) if found else None

    def is_signed_by(self, certificate: Certificate) -> bool:
        """Whether this key made it, and may (RFC 5280 section 6.3.3 (f), (g))."""
        if certificate.key_usage is not None and "crl_sign" not in certificate.key_usage:
            return False
        try:
            return self.parsed.is_signature_valid(certificate.public_key)  # type: ignore[arg-type]  # None and X25519 end in TypeError
        except Exception:  # noqa: BLE001  unknown algorithm, wrong kind of key: all mean no
            return False


def point_names(
    full: Iterable[x509.GeneralName] | None,
    relative: x509.RelativeDistinguishedName | None,
    issuer: x509.Name,
) -> frozenset[bytes]:
    """The names of a distribution point, comparable (RFC 5280 sections 4.2.1.13 and 5.2.5)."""
    if relative is not None:
        whole = x509.Name([*issuer.rdns, relative])
        return frozenset({b"d" + name.key(whole)})
    return frozenset(map(general_name, full or ()))


def addresses(points: Iterable[x509.DistributionPoint]) -> tuple[str, ...]:
    """URLs of lists, over HTTP."""
    return tuple(
        one.value
        for point in points
        for one in point.full_name or ()
        if isinstance(one, x509.UniformResourceIdentifier) and one.value[:4].lower() == "http"
    )


def general_name(one: x509.GeneralName) -> bytes:
    """A directory name or an address, comparable."""
    if isinstance(one, x509.DirectoryName):
        return b"d" + name.key(one.value)
    return repr(one).encode()


def _read(parsed: x509.CertificateRevocationList, der: bytes) -> Crl:
    found = parsed.extensions
    scope = _get(found, x509.IssuingDistributionPoint)
    number, delta = _get(found, x509.CRLNumber), _get(found, x509.DeltaCRLIndicator)
    identifier = _get(found, x509.AuthorityKeyIdentifier)
    freshest = _get(found, x509.FreshestCRL)
    issuer = name.key(parsed.issuer)
    entries, unknown = _entries(parsed, issuer)
    return Crl(
        parsed=parsed,
        issuer=issuer,
        this_update=parsed.last_update_utc,
        next_update=parsed.next_update_utc,
        number=number.crl_number if number else None,
        base=delta.crl_number if delta else None,
        scope=scope,
        names=point_names(scope.full_name, scope.relative_name, parsed.issuer)
        if scope
        else frozenset(),
        key_id=identifier.key_identifier if identifier else None,
        entries=entries,
        freshest=addresses(freshest or ()),
        digest=hashlib.sha256(der).hexdigest(),
        fault=_fault(parsed, unknown) or ("" if number else "it has no number"),  # section 5.2.3
    )


def _fault(parsed: x509.CertificateRevocationList, unknown: str) -> str:
    digest = parsed.signature_hash_algorithm
    if digest is not None and digest.name in WEAK_DIGESTS:
        return f"it is signed with {digest.name.upper()}, which can be forged"
    for one in parsed.extensions:
        if one.critical and one.oid not in _KNOWN:
            unknown = unknown or one.oid.dotted_string
    if unknown:
        return f"it has a critical extension that is not understood: {unknown}"
    return ""


def _entries(
    parsed: x509.CertificateRevocationList, issuer: bytes
) -> tuple[dict[bytes, dict[int, Entry]], str]:
    """RFC 5280 section 5.3.3: without a name of its own an entry has that of the one before."""
    current: dict[int, Entry] = {}
    found = {issuer: current}
    unknown = ""
    for one in parsed:
        extensions = one.extensions
        reason = "unspecified"
        for extension in extensions:
            value = extension.value
            if isinstance(value, x509.CRLReason):
                reason = value.reason.value
            elif isinstance(value, x509.CertificateIssuer):
                names = value.get_values_for_type(x509.DirectoryName)
                current = found.setdefault(name.key(names[0]) if names else b"", {})
            elif extension.critical and extension.oid not in _KNOWN_IN_ENTRIES:
                unknown = extension.oid.dotted_string
        current[one.serial_number] = Entry(one.revocation_date_utc, reason)
    return found, unknown


def _get(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
