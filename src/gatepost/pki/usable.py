"""Whether a certificate may sign or be encrypted to at a moment, its path aside.

Dates, keyUsage and extendedKeyUsage as RFC 8550 section 4.4 reads them; absent extensions
forbid nothing.  Every reason is a clause that completes "not usable: …".
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import Literal

from gatepost.certificate import ANY_PURPOSE, EMAIL_PROTECTION, Certificate
from gatepost.pki.strength import key_weakness

Use = Literal["sign", "encrypt"]

_RSASSA_PSS = "1.2.840.113549.1.1.10"
_RSAES_OAEP = "1.2.840.113549.1.1.7"


def usable_for(certificate: Certificate, use: Use, moment: datetime) -> tuple[str, ...]:
    """Every reason why not; empty when usable."""
    wrong = date_objection(certificate, moment)
    lasting = _lasting_objections(certificate, use)
    return (wrong, *lasting) if wrong else lasting


@lru_cache(maxsize=8192)
def _lasting_objections(certificate: Certificate, use: Use) -> tuple[str, ...]:
    """Those that no time changes."""
    reasons = (
        key_weakness(certificate),
        _algorithm_objection(certificate, use),
        _usage_objection(certificate, use),
        purpose_objection(certificate),
    )
    return tuple(reason for reason in reasons if reason)


def date_objection(certificate: Certificate, moment: datetime) -> str:
    """RFC 5280 section 4.1.2.5: both ends are included."""
    if moment < certificate.not_before:
        return f"it is not valid before {certificate.not_before:%Y-%m-%d %H:%M} UTC"
    if moment > certificate.not_after:
        return f"it expired on {certificate.not_after:%Y-%m-%d}"
    return ""


def purpose_objection(certificate: Certificate) -> str:
    """RFC 8550 section 4.4.4: an extension that is there must include e-mail protection."""
    purposes = certificate.extended_key_usage
    if purposes is None or EMAIL_PROTECTION in purposes or ANY_PURPOSE in purposes:
        return ""
    return "its extended key usage does not include e-mail protection"


def _usage_objection(certificate: Certificate, use: Use) -> str:
    """RFC 8550 section 4.4.2; RFC 8551 for RSA, RFC 5480 and RFC 8410 section 5 for curves."""
    usage = certificate.key_usage
    if usage is None:
        return ""
    if use == "sign":
        if usage & {"digital_signature", "content_commitment"}:
            return ""
        return "its key usage includes neither digitalSignature nor nonRepudiation"
    if certificate.key_kind in {"rsa", "encapsulating"}:  # RFC 9935 section 5
        if "key_encipherment" in usage:
            return ""
        return "its key usage does not include keyEncipherment"
    if "key_agreement" in usage:
        return ""
    return "its key usage does not include keyAgreement"


def _algorithm_objection(certificate: Certificate, use: Use) -> str:
    match use, certificate.key_kind:
        case _, "unknown":
            return ""  # key_weakness has said it
        case _, "rsa":
            return _restriction(certificate, use)
        case "sign", "agreeing":
            return "its key can only agree on keys, not sign"
        case "sign", "encapsulating":
            return "its key can only encapsulate keys, not sign"
        case "encrypt", "dsa" | "signing":
            return "its key algorithm is not supported for encryption"
    return ""


def _restriction(certificate: Certificate, use: Use) -> str:
    """RFC 4055: an RSA key may be for one scheme only."""
    algorithm = certificate.x509.public_key_algorithm_oid.dotted_string
    if use == "sign":
        return "its key is for RSA-OAEP only" if algorithm == _RSAES_OAEP else ""
    return "its key is for RSA-PSS signatures only" if algorithm == _RSASSA_PSS else ""
