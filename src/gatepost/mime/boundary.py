"""Boundaries for composed multiparts (RFC 2046 section 5.1.1)."""

from __future__ import annotations

import re
from collections.abc import Callable

from gatepost.errors import Malformed

_TRIES = 20
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=?]{1,70}\Z")


def boundary(names: Callable[[], str], *avoid: bytes) -> bytes:
    """A boundary that stands in none of these octets.

    "=_" cannot occur in base64 or quoted-printable (RFC 2045 section 6.7), so even a
    content that is only read later is safe once it is 7-bit encoded.
    """
    for _ in range(_TRIES):
        made = b"=_" + names().encode("ascii", "replace")
        if not _BOUNDARY.match(made):
            raise Malformed("a name for a boundary has characters RFC 2046 does not allow")
        if not any(made in octets for octets in avoid):
            return made
    raise Malformed("the contents hold every boundary tried")
