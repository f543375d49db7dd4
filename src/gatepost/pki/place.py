"""Where a certificate says that its revocation is told, and what was told there.

RFC 5280 sections 4.2.1.13 and 4.2.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from gatepost.certificate import Certificate
from gatepost.pki.crl import UNREADABLE, addresses


@dataclass(frozen=True, slots=True)
class Status:
    """One place's list or answer."""

    id: str  # of the question
    kind: str  # crl or ocsp
    place: str
    der: bytes | None = field(repr=False)  # the last good one, however old
    tried_at: datetime
    due_at: datetime  # before, nobody asks again
    fault: str = ""  # of the last try
    question: bytes = field(default=b"", repr=False)  # what an OCSP responder is asked


def list_places(certificate: Certificate) -> tuple[str, ...]:
    """URLs of lists, over HTTP."""
    return addresses(certificate.traits.points)


@lru_cache(maxsize=4096)
def delta_places(certificate: Certificate) -> tuple[str, ...]:
    """URLs of delta lists (section 4.2.1.15); a list may name more of them."""
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.FreshestCRL)
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ()
    return addresses(found.value)


@lru_cache(maxsize=4096)
def responder_places(certificate: Certificate) -> tuple[str, ...]:
    """URLs of OCSP responders."""
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ()
    return tuple(
        one.access_location.value
        for one in found.value
        if one.access_method == Access.OCSP
        and isinstance(one.access_location, x509.UniformResourceIdentifier)
    )


def names_place(certificate: Certificate) -> bool:
    """Whether it says where to ask about it."""
    return bool(list_places(certificate) or responder_places(certificate))
