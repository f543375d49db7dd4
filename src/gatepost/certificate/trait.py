"""What path validation asks of one certificate's extensions (RFC 5280 section 4.2), read once."""

from __future__ import annotations

from typing import Any, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

Said = dict[x509.ObjectIdentifier, Any]  # the value of each extension there is

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


class Traits(NamedTuple):  # made four times as fast as a frozen dataclass, once a certificate
    """The extensions in the words of RFC 5280; absent ones are None or empty."""

    path_length: int | None  # how many more authorities may stand below
    authority_key_id: bytes | None
    alternative: tuple[x509.GeneralName, ...]  # names beside the subject
    permitted: tuple[x509.GeneralName, ...]
    excluded: tuple[x509.GeneralName, ...]
    policies: frozenset[str] | None
    repeats_policy: bool  # which RFC 5280 section 4.2.1.4 forbids
    mappings: bytes | None  # DER, which `policy` reads
    require_explicit: int | None
    inhibit_mapping: int | None
    inhibit_any: int | None
    points: x509.CRLDistributionPoints | tuple[()]  # where its CRLs are
    unknown_critical: tuple[str, ...]


def read(extensions: x509.Extensions) -> tuple[Said, Traits]:
    """Every extension by its kind, and what they say."""
    said: Said = {}
    unknown: tuple[str, ...] = ()
    for one in extensions:
        said[one.oid] = one.value
        if one.critical and one.oid not in KNOWN_CRITICAL:
            unknown += (one.oid.dotted_string,)
    return said, _traits(said, unknown)


def _traits(said: Said, unknown: tuple[str, ...]) -> Traits:
    basic = said.get(ExtensionOID.BASIC_CONSTRAINTS)
    identifier = said.get(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    constraints = said.get(ExtensionOID.NAME_CONSTRAINTS)
    policies = said.get(ExtensionOID.CERTIFICATE_POLICIES)
    named = None if policies is None else [one.policy_identifier.dotted_string for one in policies]
    mappings = said.get(ExtensionOID.POLICY_MAPPINGS)
    limits = said.get(ExtensionOID.POLICY_CONSTRAINTS)
    inhibit = said.get(ExtensionOID.INHIBIT_ANY_POLICY)
    return Traits(
        path_length=basic.path_length if basic else None,
        authority_key_id=identifier.key_identifier if identifier else None,
        alternative=tuple(said.get(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ())),
        permitted=tuple((constraints and constraints.permitted_subtrees) or ()),
        excluded=tuple((constraints and constraints.excluded_subtrees) or ()),
        policies=None if named is None else frozenset(named),
        repeats_policy=named is not None and len(set(named)) < len(named),
        mappings=None if mappings is None else mappings.public_bytes(),
        require_explicit=limits.require_explicit_policy if limits else None,
        inhibit_mapping=limits.inhibit_policy_mapping if limits else None,
        inhibit_any=inhibit.skip_certs if inhibit else None,
        points=said.get(ExtensionOID.CRL_DISTRIBUTION_POINTS, ()),
        unknown_critical=unknown,
    )
