"""What path validation asks of one certificate (RFC 5280 section 4.2), read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from gatepost.certificate import Certificate, quietly
from gatepost.pki import name
from gatepost.pki.der import dotted, items

_UNREADABLE = (("2.5.29.32.0", "2.5.29.32.0"),)
MAXIMUM_NAMES = 4096
_MAPPINGS = ExtensionOID.POLICY_MAPPINGS
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

# What is looked at here, and what may be critical because it forbids nothing.  Not so key
# identifiers and information access, which RFC 5280 wants "non-critical" (4.2.1.1, 4.2.1.2, 4.2.2).
KNOWN_CRITICAL = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.POLICY_MAPPINGS,
        ExtensionOID.POLICY_CONSTRAINTS,
        ExtensionOID.INHIBIT_ANY_POLICY,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
        ExtensionOID.FRESHEST_CRL,
        ExtensionOID.OCSP_NO_CHECK,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Traits:
    """The extensions in the words of RFC 5280; absent ones are None or empty.

    What a path rarely asks (names, addresses, places) is read only when it is asked.
    """

    certificate: Certificate
    issuer: bytes  # folded
    issuer_spelled: str
    basic: x509.BasicConstraints | None
    authority_key_id: bytes | None
    permitted: tuple[x509.GeneralName, ...]
    excluded: tuple[x509.GeneralName, ...]
    policies: frozenset[str] | None
    repeats_policy: bool  # which RFC 5280 section 4.2.1.4 forbids
    mappings: tuple[tuple[str, str], ...]
    require_explicit: int | None
    inhibit_mapping: int | None
    inhibit_any: int | None
    unknown_critical: tuple[str, ...]

    @property
    def subject(self) -> bytes:
        """Folded."""
        return _folded(self.certificate)[1]

    @property
    def relatives(self) -> name.Folded:
        """The relative names of the subject."""
        return _folded(self.certificate)[0]

    @property
    def self_issued(self) -> bool:
        """RFC 5280 section 6.1: the names are equal, whoever's key signed it."""
        return self.subject == self.issuer

    @property
    def path_length(self) -> int | None:
        """How many more authorities may stand below."""
        return self.basic.path_length if self.basic else None

    @property
    def alternative(self) -> tuple[x509.GeneralName, ...]:
        """Names beside the subject."""
        said = _get(self.certificate.x509.extensions, x509.SubjectAlternativeName)
        return tuple(said or ())

    @property
    def subject_emails(self) -> tuple[str, ...]:
        """Addresses in the subject."""
        found = self.certificate.x509.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)
        return tuple(str(one.value) for one in found)

    @property
    def points(self) -> tuple[x509.DistributionPoint, ...]:
        """Where its CRLs are."""
        return tuple(_get(self.certificate.x509.extensions, x509.CRLDistributionPoints) or ())


@lru_cache(maxsize=4096)
def traits(certificate: Certificate) -> Traits:
    """Read them; a certificate that was parsed has no unreadable extension but mappings."""
    found = certificate.x509.extensions
    said: dict[x509.ObjectIdentifier, Any] = {one.oid: one.value for one in found}
    constraints = said.get(ExtensionOID.NAME_CONSTRAINTS)
    policies = said.get(ExtensionOID.CERTIFICATE_POLICIES)
    limits = said.get(ExtensionOID.POLICY_CONSTRAINTS)
    inhibit = said.get(ExtensionOID.INHIBIT_ANY_POLICY)
    identifier = said.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    issuer, issuer_spelled = _issuer(certificate)
    return Traits(
        certificate=certificate,
        issuer=issuer,
        issuer_spelled=issuer_spelled,
        basic=said.get(ExtensionOID.BASIC_CONSTRAINTS),
        authority_key_id=identifier.key_identifier if identifier else None,
        permitted=tuple((constraints and constraints.permitted_subtrees) or ()),
        excluded=tuple((constraints and constraints.excluded_subtrees) or ()),
        policies=frozenset(one.policy_identifier.dotted_string for one in policies)
        if policies is not None
        else None,
        repeats_policy=policies is not None
        and len({one.policy_identifier for one in policies}) < len(policies),
        mappings=_mappings(said.get(_MAPPINGS)),
        require_explicit=limits.require_explicit_policy if limits else None,
        inhibit_mapping=limits.inhibit_policy_mapping if limits else None,
        inhibit_any=inhibit.skip_certs if inhibit else None,
        unknown_critical=tuple(
            one.oid.dotted_string for one in found if one.critical and one.oid not in KNOWN_CRITICAL
        ),
    )


@lru_cache(maxsize=4096)
def _folded(certificate: Certificate) -> tuple[name.Folded, bytes]:
    """The subject: its relative names, and the whole."""
    with quietly():
        relatives = name.folded(certificate.x509.subject)
    return relatives, name.joined(relatives)


def _issuer(certificate: Certificate) -> tuple[bytes, str]:
    """Folded, and for people; one that cannot be read equals no other (those begin with a length).

    The same octets are the same name, and few authorities issue all certificates there are.
    """
    known, octets = _issuers, (certificate.issuer, certificate.is_mended)
    if found := known.get(octets):
        return found
    try:
        with quietly():
            issuer = certificate.x509.issuer
        found = name.key(issuer), name.spelled(issuer)
    except ValueError:
        found = b"\xff" + certificate.issuer, name.UNREADABLE
    if len(known) >= MAXIMUM_NAMES:
        known.clear()
    known[octets] = found
    return found


_issuers: dict[tuple[bytes, bool], tuple[bytes, str]] = {}


def _get(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _mappings(said: x509.ExtensionType | None) -> tuple[tuple[str, str], ...]:
    """RFC 5280 section 4.2.1.5; what cannot be read maps anyPolicy, which no path survives."""
    if said is None:
        return ()
    try:
        pairs = [tuple(map(dotted, items(one))) for one in items(said.public_bytes())]
        return tuple((theirs, ours) for theirs, ours in pairs) or _UNREADABLE
    except (IndexError, ValueError):
        return _UNREADABLE
