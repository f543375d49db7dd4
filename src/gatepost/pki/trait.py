"""What path validation asks of one certificate (RFC 5280 section 4.2), read once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from gatepost.certificate import Certificate, quietly
from gatepost.pki import name
from gatepost.pki.der import dotted, items

_UNREADABLE = (("2.5.29.32.0", "2.5.29.32.0"),)
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
    """The extensions in the words of RFC 5280; absent ones are None or empty."""

    subject: bytes  # folded
    issuer: bytes  # folded
    relatives: name.Folded  # of the subject
    key: bytes  # SubjectPublicKeyInfo
    basic: x509.BasicConstraints | None
    authority_key_id: bytes | None
    permitted: tuple[x509.GeneralName, ...]
    excluded: tuple[x509.GeneralName, ...]
    alternative: tuple[x509.GeneralName, ...]
    subject_emails: tuple[str, ...]
    policies: frozenset[str] | None
    repeats_policy: bool  # which RFC 5280 section 4.2.1.4 forbids
    mappings: tuple[tuple[str, str], ...]
    require_explicit: int | None
    inhibit_mapping: int | None
    inhibit_any: int | None
    points: tuple[x509.DistributionPoint, ...]  # where its CRLs are
    unknown_critical: tuple[str, ...]

    @property
    def self_issued(self) -> bool:
        """RFC 5280 section 6.1: the names are equal, whoever's key signed it."""
        return self.subject == self.issuer

    @property
    def path_length(self) -> int | None:
        """How many more authorities may stand below."""
        return self.basic.path_length if self.basic else None


@lru_cache(maxsize=4096)
def traits(certificate: Certificate) -> Traits:
    """Read them; a certificate that was parsed has no unreadable extension but mappings."""
    parsed = certificate.x509
    with quietly():
        subject, issuer = parsed.subject, _issuer(certificate)
    found = parsed.extensions
    constraints = _get(found, x509.NameConstraints)
    policies = _get(found, x509.CertificatePolicies)
    limits = _get(found, x509.PolicyConstraints)
    inhibit = _get(found, x509.InhibitAnyPolicy)
    identifier = _get(found, x509.AuthorityKeyIdentifier)
    relatives = name.folded(subject)
    return Traits(
        subject=name.joined(relatives),
        issuer=issuer,
        relatives=relatives,
        key=_key(certificate),
        basic=_get(found, x509.BasicConstraints),
        authority_key_id=identifier.key_identifier if identifier else None,
        permitted=tuple((constraints and constraints.permitted_subtrees) or ()),
        excluded=tuple((constraints and constraints.excluded_subtrees) or ()),
        alternative=tuple(_get(found, x509.SubjectAlternativeName) or ()),
        subject_emails=_emails(subject),
        policies=frozenset(one.policy_identifier.dotted_string for one in policies)
        if policies is not None
        else None,
        repeats_policy=policies is not None
        and len({one.policy_identifier for one in policies}) < len(policies),
        mappings=_mappings(found),
        require_explicit=limits.require_explicit_policy if limits else None,
        inhibit_mapping=limits.inhibit_policy_mapping if limits else None,
        inhibit_any=inhibit.skip_certs if inhibit else None,
        points=tuple(_get(found, x509.CRLDistributionPoints) or ()),
        unknown_critical=tuple(
            one.oid.dotted_string for one in found if one.critical and one.oid not in KNOWN_CRITICAL
        ),
    )


def _issuer(certificate: Certificate) -> bytes:
    """Folded; one that cannot be read equals no other name, for those begin with a length."""
    try:
        return name.key(certificate.x509.issuer)
    except ValueError:
        return b"\xff" + certificate.issuer


def _get(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key(certificate: Certificate) -> bytes:
    if certificate.public_key is None:
        return certificate.der
    return certificate.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _emails(subject: x509.Name) -> tuple[str, ...]:
    found = subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)
    return tuple(str(one.value) for one in found)


def _mappings(extensions: x509.Extensions) -> tuple[tuple[str, str], ...]:
    """RFC 5280 section 4.2.1.5; what cannot be read maps anyPolicy, which no path survives."""
    try:
        value = extensions.get_extension_for_oid(_MAPPINGS).value
    except x509.ExtensionNotFound:
        return ()
    try:
        pairs = [tuple(map(dotted, items(one))) for one in items(value.public_bytes())]
        return tuple((theirs, ours) for theirs, ours in pairs) or _UNREADABLE
    except (IndexError, ValueError):
        return _UNREADABLE
