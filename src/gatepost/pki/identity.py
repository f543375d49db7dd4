"""Whose certificate it is: comparing its addresses with a mailbox (RFC 8550 section 3)."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509

from gatepost.certificate import Certificate
from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.pki.signature import signed_by

_SMTP_UTF8 = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")  # id-on-SmtpUTF8Mailbox
# RFC 3183 section 3.1: the name under which a whole domain signs.
DOMAIN_SIGNER = "domain-signing-authority"
MAXIMUM_ADDRESSES = 1000  # a hostile certificate of 64 KiB holds some 4000


def matches(certificate: Certificate, mailbox: Mailbox) -> bool:
    """Whether the certificate was issued to exactly this mailbox.

    Never for a whole domain: what an RFC 3183 domain certificate may stand for is said by
    whoever files it under `@domain`, not by a name anyone's CA can put into a certificate.
    """
    return mailbox.key in addresses(certificate)


@lru_cache(maxsize=4096)
def addresses(certificate: Certificate) -> frozenset[str]:
    """The addresses the issuer vouches for, as `Mailbox.key`s.

    The subject's emailAddress is read only when no alternative name is an address: name
    constraints are not applied to it otherwise (RFC 5280 section 4.2.1.10).
    """
    spelled = _alternative(certificate) or certificate.subject_emails
    found = set()
    for text in spelled[:MAXIMUM_ADDRESSES]:
        try:
            found.add(Mailbox.parse(text).key)
        except Malformed:
            continue  # "alice@example.com\0.evil.org" is nobody's address
    return frozenset(found)


def _alternative(certificate: Certificate) -> tuple[str, ...]:
    names = certificate.traits.alternative
    plain = [one.value for one in names if isinstance(one, x509.RFC822Name)]
    return (*plain, *(_international(one) for one in names if isinstance(one, x509.OtherName)))


def _international(other: x509.OtherName) -> str:
    """RFC 9598 section 3: a UTF8String; anything else under that name is nobody's address."""
    octets = other.value
    is_short = octets[:1] == b"\x0c" and 2 < len(octets) < 0x80 and octets[1] == len(octets) - 2
    if other.type_id != _SMTP_UTF8 or not is_short:
        return ""
    return octets[2:].decode("utf-8", "replace")


def is_self_issued(certificate: Certificate) -> bool:
    """Whether it names itself as issuer and its own key signed it."""
    return certificate.issuer == certificate.subject and signed_by(
        certificate, certificate.public_key
    )
