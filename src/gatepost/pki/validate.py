"""Certification path validation for e-mail (RFC 5280 section 6, RFC 8550 section 4).

The path itself is built and checked by `cryptography.x509.verification` under our own
extension rules; key sizes, digests, the pinned leaf and the address in the subject are
checked here.  A certificate that does not pass gets reasons, never an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

from cryptography import x509
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID

from gatepost.certificate import Certificate
from gatepost.pki.explain import explain
from gatepost.pki.identity import names_in_subject_only
from gatepost.pki.strength import key_weakness, signature_weakness
from gatepost.pki.usable import date_objection, purpose_objection

MAXIMUM_DEPTH = 8
MAXIMUM_INTERMEDIATES = 32  # what may come into a path; the rest of a hostile bag is not looked at
HOUR = timedelta(hours=1)
Purpose = Literal["email", "any"]


@dataclass(frozen=True, slots=True)
class Anchors:
    """Trust anchors that count for one question, and intermediates we know of."""

    roots: frozenset[Certificate]
    intermediates: frozenset[Certificate] = frozenset()


@dataclass(frozen=True, slots=True)
class PathReport:
    """Whether a path to an anchor exists, which one, and if not, why not."""

    trusted: bool
    chain: tuple[Certificate, ...] = ()  # leaf first, anchor last
    reasons: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        raise TypeError("a report is not a boolean: read `trusted`")


def validate(
    certificate: Certificate,
    extra: Sequence[Certificate],
    anchors: Anchors,
    *,
    moment: datetime,
    purpose: Purpose = "email",
) -> PathReport:
    """Look for a path from the certificate to an anchor that holds at the moment.

    With purpose "any" no certificate's extended key usage is asked (RFC 5280 section 6.1).
    """
    moment = moment.replace(microsecond=0)  # dates are whole seconds (RFC 5280 section 4.1.2.5)
    pool = _relevant(certificate, (*extra, *anchors.intermediates))
    hour = moment.replace(minute=0, second=0, microsecond=0)
    if any(_turns(one, hour) for one in (certificate, *pool)):
        return _judge(certificate, pool, anchors.roots, moment, purpose)
    return _remembered(certificate, pool, anchors.roots, hour, purpose)


@lru_cache(maxsize=8192)
def _remembered(
    certificate: Certificate,
    pool: frozenset[Certificate],
    roots: frozenset[Certificate],
    hour: datetime,
    purpose: Purpose,
) -> PathReport:
    """Nothing begins or ends within this hour, so one verdict holds for all of it."""
    return _judge(certificate, pool, roots, hour, purpose)


def _turns(certificate: Certificate, hour: datetime) -> bool:
    end = hour + HOUR
    return hour <= certificate.not_before < end or hour <= certificate.not_after < end


def _judge(
    certificate: Certificate,
    pool: frozenset[Certificate],
    roots: frozenset[Certificate],
    moment: datetime,
    purpose: Purpose,
) -> PathReport:
    reasons = tuple(filter(None, _own_objections(certificate, roots, moment, purpose)))
    if reasons:
        return PathReport(trusted=False, reasons=reasons)
    if certificate in roots:  # pinned: the anchor and the end entity are one
        return PathReport(trusted=True, chain=(certificate,))
    try:
        chain = _build(certificate, pool, roots, moment, purpose)
    except (verification.VerificationError, ValueError) as error:
        return PathReport(
            trusted=False, reasons=(explain(certificate, pool, roots, moment, str(error)),)
        )
    reasons = tuple(filter(None, _chain_objections(chain)))
    return PathReport(trusted=not reasons, chain=chain, reasons=reasons)


def _own_objections(
    certificate: Certificate,
    roots: frozenset[Certificate],
    moment: datetime,
    purpose: Purpose,
) -> tuple[str, ...]:
    pinned = certificate in roots
    return (
        date_objection(certificate, moment),
        key_weakness(certificate),
        purpose_objection(certificate) if purpose == "email" else "",
        "" if pinned else signature_weakness(certificate),
        "it is itself a certification authority" if certificate.is_authority and not pinned else "",
    )


def _chain_objections(chain: tuple[Certificate, ...]) -> tuple[str, ...]:
    *below, anchor = chain
    weak = [signature_weakness(one) for one in below] + [key_weakness(one) for one in below[1:]]
    if names_in_subject_only(chain[0]) and any(_constrains_mail(one) for one in (*below, anchor)):
        # RFC 5280 section 4.2.1.10 wants the constraint applied there too; the verifier does not.
        weak.append("its address stands in the subject, out of reach of its issuer's constraints")
    return tuple(weak)


def _constrains_mail(certificate: Certificate) -> bool:
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return False
    trees = [*(found.permitted_subtrees or ()), *(found.excluded_subtrees or ())]
    return any(isinstance(tree, x509.RFC822Name) for tree in trees)


def _relevant(certificate: Certificate, offered: Sequence[Certificate]) -> frozenset[Certificate]:
    """Those of the offered certificates that could stand above this one, by their names."""
    by_subject: dict[bytes, list[Certificate]] = {}
    for one in offered:
        by_subject.setdefault(one.subject, []).append(one)
    found: dict[Certificate, None] = {}
    wanted = [certificate.issuer]
    for name in wanted:
        for one in by_subject.pop(name, ()):
            if len(found) >= MAXIMUM_INTERMEDIATES:
                return frozenset(found)
            found[one] = None
            wanted.append(one.issuer)
    return frozenset(found)


def _build(
    certificate: Certificate,
    pool: frozenset[Certificate],
    roots: frozenset[Certificate],
    moment: datetime,
    purpose: Purpose,
) -> tuple[Certificate, ...]:
    store = _store(roots)
    if store is None:
        raise ValueError("no anchors")
    authority, end_entity = _POLICIES[purpose]
    builder = (
        verification.PolicyBuilder()
        .store(store)
        .time(moment)
        .max_chain_depth(MAXIMUM_DEPTH)
        .extension_policies(ca_policy=authority, ee_policy=end_entity)
    )
    ordered = sorted(pool, key=lambda one: one.fingerprint)
    found = builder.build_client_verifier().verify(certificate.x509, [one.x509 for one in ordered])
    return tuple(Certificate.from_x509(one) for one in found.chain)


@lru_cache(maxsize=256)
def _store(roots: frozenset[Certificate]) -> verification.Store | None:
    return verification.Store([one.x509 for one in roots]) if roots else None


def _require_authority(
    _policy: verification.Policy, _certificate: x509.Certificate, value: x509.BasicConstraints
) -> None:
    """RFC 5280 section 6.1.4 (k); the path length is the verifier's."""
    if not value.ca:
        raise ValueError("an issuer is not a certification authority")


def _require_signing(
    _policy: verification.Policy, _certificate: x509.Certificate, value: x509.KeyUsage | None
) -> None:
    """RFC 5280 section 6.1.4 (n)."""
    if value is not None and not value.key_cert_sign:
        raise ValueError("an issuer may not sign certificates")


def _require_mail(
    _policy: verification.Policy,
    _certificate: x509.Certificate,
    value: x509.ExtendedKeyUsage | None,
) -> None:
    """RFC 8550 section 4.4.4; an issuer's extended key usage limits what stands below it."""
    if value is not None and not _MAIL & set(value):
        raise ValueError("a certificate on the path is not for e-mail")


_MAIL = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_ANY = verification.Criticality.AGNOSTIC
_AUTHORITY = (
    verification.ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _ANY, _require_authority)
    .may_be_present(x509.KeyUsage, _ANY, _require_signing)
)
_END_ENTITY = verification.ExtensionPolicy.permit_all()
_POLICIES: dict[Purpose, tuple[verification.ExtensionPolicy, verification.ExtensionPolicy]] = {
    "any": (_AUTHORITY, _END_ENTITY),
    "email": (
        _AUTHORITY.may_be_present(x509.ExtendedKeyUsage, _ANY, _require_mail),
        _END_ENTITY.may_be_present(x509.ExtendedKeyUsage, _ANY, _require_mail),
    ),
}
