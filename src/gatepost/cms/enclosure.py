"""Lists and OCSP answers that a SignedData carries along (RFC 5652 section 10.2.1, RFC 5940).

What a stranger encloses is only taken out here; whether it proves anything, `pki` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from gatepost.cms import ber, der
from gatepost.errors import Malformed

MAXIMUM = 8  # that are looked at
MAXIMUM_SIZE = 64 * 1024  # octets of one: who has more to say publishes it
_LISTS, _OTHER = der.SEQUENCE, 0xA1  # CertificateList; [1] OtherRevocationInfoFormat
_ANSWER = "1.3.6.1.5.5.7.16.2"  # id-ri-ocsp-response


@dataclass(frozen=True, slots=True)
class Enclosed:
    """One list or answer."""

    kind: Literal["crl", "ocsp"]
    der: bytes = field(repr=False)


@lru_cache(maxsize=1024)
def compose(enclosed: tuple[Enclosed, ...]) -> bytes:
    """[1] IMPLICIT RevocationInfoChoices, a SET OF in DER order; nothing for nothing."""
    return der.explicit(1, *sorted(map(_composed, enclosed))) if enclosed else b""


def version(enclosed: Iterable[Enclosed]) -> int:
    """Of the SignedData: 5 where anything but a list is in it (RFC 5652 section 5.1)."""
    return 5 if any(one.kind == "ocsp" for one in enclosed) else 1


def _composed(one: Enclosed) -> bytes:
    return one.der if one.kind == "crl" else der.explicit(1, der.oid(_ANSWER), one.der)


def parse(element: ber.Element) -> tuple[Enclosed, ...]:
    """What is enclosed; other choices, broken ones and too large ones are passed over."""
    try:
        found = element.children()[:MAXIMUM]
    except Malformed:  # nobody needs it to read the message
        return ()
    return tuple(made for one in found if (made := _parsed(one)) is not None)


def _parsed(one: ber.Element) -> Enclosed | None:
    if one.stop - one.start > MAXIMUM_SIZE:
        return None
    if one.tag == _LISTS:
        return Enclosed("crl", one.raw)
    try:
        kind, info = one.expect(_OTHER).children()
        return Enclosed("ocsp", info.raw) if kind.oid() == der.oid_contents(_ANSWER) else None
    except (Malformed, ValueError):
        return None
