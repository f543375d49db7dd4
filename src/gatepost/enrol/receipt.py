"""What an authority sent, against what it was asked for: one sentence says what is wrong with it.

Whatever the source, the certificate must be for the key of the request, be in force, and serve
the address and the purpose that were asked for (RFC 5280 section 4.2.1, RFC 8550 section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatepost.certificate import ANY_PURPOSE, EMAIL_PROTECTION, Certificate
from gatepost.enrol.source import Issued, Purpose, Wanted
from gatepost.errors import Refused
from gatepost.mail.address import domain_key
from gatepost.pki.signature import signed_by

LONGEST_CHAIN: Final = 10
_SPKI: Final = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
_SIGNS: Final = frozenset({"digital_signature", "content_commitment"})
_ENCRYPTS: Final = frozenset({"key_encipherment", "key_agreement"})
_USAGES: Final[dict[Purpose, tuple[tuple[frozenset[str], str], ...]]] = {
    "sign": ((_SIGNS, "signing"),),
    "encrypt": ((_ENCRYPTS, "encryption"),),
    "both": ((_SIGNS, "signing"), (_ENCRYPTS, "encryption")),
}


def issued(wanted: Wanted, found: Sequence[Certificate], now: datetime) -> Issued:
    """The certificate for the request among those found, and its issuers; raises Refused."""
    key = requested_key(wanted.request)
    own = [one for one in found if key_of(one) == key]
    if not own:
        sent = f"one for {found[0].name!r}, with another key" if found else "none"
        raise Refused(f"no certificate for the requested key was sent, but {sent}")
    own.sort(key=lambda one: one.not_after, reverse=True)
    best = next((one for one in own if not fault(wanted, one, now)), None)
    if best is None:
        raise Refused(f"the certificate {fault(wanted, own[0], now)}")
    return Issued((best, *issuers(best, found)))


def requested_key(request: bytes) -> bytes:
    """SubjectPublicKeyInfo of a request in DER."""
    return x509.load_der_x509_csr(request).public_key().public_bytes(*_SPKI)


def key_of(certificate: Certificate) -> bytes | None:
    """SubjectPublicKeyInfo of a certificate; None when its algorithm is unknown."""
    key = certificate.public_key
    return None if key is None else key.public_bytes(*_SPKI)


def fault(wanted: Wanted, certificate: Certificate, now: datetime) -> str:
    """Why a certificate for the right key is of no use, or nothing."""
    if certificate.not_after <= now:
        return f"expired on {certificate.not_after:%Y-%m-%d}"
    if certificate.is_authority:
        return "is an authority's, not a mailbox's"
    asked = {_folded(one) for one in (wanted.address, *_requested_addresses(wanted.request))}
    if not asked & {_folded(one) for one in certificate.emails}:
        named = ", ".join(certificate.emails[:3]) or "no address"
        return f"is for {named}, not for {wanted.address}"
    purposes = certificate.extended_key_usage
    if purposes is not None and not purposes & {EMAIL_PROTECTION, ANY_PURPOSE}:
        return "is not for e-mail: its extended key usage leaves emailProtection out"
    usage = certificate.key_usage
    for bits, word in _USAGES[wanted.purpose]:
        if usage is not None and not usage & bits:
            return f"is not for {word}: its key usage leaves that out"
    return ""


def issuers(certificate: Certificate, found: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The issuers among those found, nearest first, as far as they go."""
    chain: list[Certificate] = []
    last = certificate
    while last.issuer != last.subject and len(chain) < LONGEST_CHAIN:
        above = next((one for one in found if _has_issued(one, last)), None)
        if above is None or above in chain:
            break
        chain.append(above)
        last = above
    return tuple(chain)


def _has_issued(issuer: Certificate, one: Certificate) -> bool:
    return issuer.subject == one.issuer and signed_by(one, issuer.public_key)


def _requested_addresses(request: bytes) -> list[str]:
    """For a whole domain the request names the mailbox of RFC 3183 that stands for it."""
    try:
        names = x509.load_der_x509_csr(request).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.RFC822Name)


def _folded(address: str) -> str:
    """Authorities write local parts in lower case, whatever was asked for."""
    local, _, domain = address.rpartition("@")
    return f"{local.casefold()}@{domain_key(domain)}"
