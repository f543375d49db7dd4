"""Where a certificate says that its revocation is told, and what was told there.

RFC 5280 sections 4.2.1.13 and 4.2.2.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from gatepost.certificate import Certificate
from gatepost.pki.crl import UNREADABLE
from gatepost.pki.trait import traits


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


def list_places(certificate: Certificate) -> tuple[str, ...]:
    """URLs of lists, over HTTP."""
    return tuple(
        one.value
        for point in traits(certificate).points
        for one in point.full_name or ()
        if isinstance(one, x509.UniformResourceIdentifier) and one.value[:4].lower() == "http"
    )


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


def names_places(chain: tuple[Certificate, ...]) -> bool:
    """Whether anybody could be asked about anything of this path."""
    return any(list_places(one) or responder_places(one) for one, _ in pairwise(chain))
