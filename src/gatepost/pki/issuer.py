"""Where a path breaks off for want of an issuer, and where that issuer can be fetched.

RFC 5280 section 4.2.2.1: the caIssuers of a certificate's authority information access.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access

from gatepost.certificate import Certificate
from gatepost.pki.crl import UNREADABLE
from gatepost.pki.signature import signed_by
from gatepost.pki.validate import Anchors

MAXIMUM_CLIMB: Final = 32  # certificates looked at
MAXIMUM_PLACES: Final = 2  # of one certificate
_WEB: Final = ("http://", "https://")


def gaps(
    leaf: Certificate, extra: Sequence[Certificate], anchors: Anchors
) -> tuple[Certificate, ...]:
    """The certificates whose issuer is not here; none where an anchor is reached by names."""
    above: dict[bytes, list[Certificate]] = {}
    for one in (*anchors.roots, *anchors.intermediates, *extra):
        above.setdefault(one.folded_subject, []).append(one)
    seen: dict[Certificate, None] = {leaf: None}
    found: list[Certificate] = []
    for one in (queue := [leaf]):
        if one in anchors.roots:
            return ()
        issuers = above.get(one.folded_issuer, ())
        if not issuers and not one.self_issued:
            found.append(one)
        new = [each for each in issuers if each not in seen]
        seen.update(dict.fromkeys(new))
        queue += new[: MAXIMUM_CLIMB - len(queue)]
    return tuple(found)


@lru_cache(maxsize=4096)
def places(certificate: Certificate) -> tuple[str, ...]:
    """URLs of its issuer, over HTTP."""
    try:
        found = certificate.x509.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except (x509.ExtensionNotFound, *UNREADABLE):
        return ()
    urls = (
        one.access_location.value
        for one in found.value
        if one.access_method == Access.CA_ISSUERS
        and isinstance(one.access_location, x509.UniformResourceIdentifier)
    )
    return tuple(one for one in urls if one.lower().startswith(_WEB))[:MAXIMUM_PLACES]


def issued(child: Certificate, issuer: Certificate) -> bool:
    """Whether a certificate that a stranger's server sent is really the one above."""
    return (
        issuer.is_authority
        and issuer.folded_subject == child.folded_issuer
        and signed_by(child, issuer.public_key)
    )
