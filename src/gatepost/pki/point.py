"""Which lists are about which certificates (RFC 5280 sections 4.2.1.13 and 6.3.3 (b))."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509

from gatepost.certificate import Certificate
from gatepost.pki.crl import EVERY_REASON, Crl, general_name, point_names


@dataclass(frozen=True, slots=True)
class Point:
    """A distribution point of a certificate, comparable."""

    issuers: tuple[bytes, ...]  # folded names of whoever may sign the list
    names: frozenset[bytes]
    delegated: bool  # to another than the certificate's issuer
    reasons: frozenset[x509.ReasonFlags]

    @classmethod
    def of(cls, point: x509.DistributionPoint, certificate: Certificate) -> Point:
        """RFC 5280 section 4.2.1.13."""
        others = [one for one in point.crl_issuer or () if isinstance(one, x509.DirectoryName)]
        base = others[0].value if others else certificate.x509.issuer
        names = point_names(point.full_name, point.relative_name, base)
        return cls(
            issuers=tuple(general_name(one)[1:] for one in others) or (certificate.folded_issuer,),
            names=names or frozenset(map(general_name, others)),
            delegated=bool(others),
            reasons=point.reasons or EVERY_REASON,
        )

    @classmethod
    def usual(cls, issuer: bytes) -> Point:
        """The lists that no point names but the issuer signs (end of section 6.3.3)."""
        return cls((issuer,), frozenset({b"d" + issuer}), delegated=False, reasons=EVERY_REASON)


def out_of_scope(crl: Crl, point: Point, certificate: Certificate) -> str:
    """RFC 5280 section 6.3.3 (b)."""
    if point.delegated and not crl.indirect:
        return "it is not for other issuers' certificates"
    scope = crl.scope
    if scope is None:
        return ""
    if crl.names and not crl.names & point.names:
        return "it is for another distribution point"
    if scope.only_contains_attribute_certs:
        return "it lists attribute certificates only"
    if scope.only_contains_user_certs and certificate.is_authority:
        return "it lists users' certificates only"
    if scope.only_contains_ca_certs and not certificate.is_authority:
        return "it lists authorities' certificates only"
    return ""
