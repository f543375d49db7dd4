"""What an authority says of a request in CMP: PKIStatusInfo (RFC 9810 section 5.2.3).

Raises IndexError or ValueError for what is not that.
"""

from __future__ import annotations

from typing import Final

from gatepost.enrol.carrier import shown
from gatepost.pki.der import inside, items

_FAILURES: Final = (
    *("badAlg", "badMessageCheck", "badRequest", "badTime", "badCertId", "badDataFormat"),
    *("wrongAuthority", "incorrectData", "missingTimeStamp", "badPOP", "certRevoked"),
    *("certConfirmed", "wrongIntegrity", "badRecipientNonce", "timeNotAvailable"),
    *("unacceptedPolicy", "unacceptedExtension", "addInfoNotAvailable", "badSenderNonce"),
    *("badCertTemplate", "signerNotTrusted", "transactionIdInUse", "unsupportedVersion"),
    *("notAuthorized", "systemUnavail", "systemFailure", "duplicateCertReq"),
)


def read_status(element: bytes) -> tuple[int, frozenset[str], str]:
    """PKIStatusInfo ::= SEQUENCE { status, statusString OPTIONAL, failInfo OPTIONAL }."""
    status, *others = items(element)
    by_tag = {one[0]: one for one in others}
    bits = by_tag.get(0x03, b"\x03\x01\x00")
    octets = bits[inside(bits, 0) + 1 :][:8]
    failures = [
        8 * at + bit for at, octet in enumerate(octets) for bit in range(8) if octet & 0x80 >> bit
    ]
    names = frozenset(_FAILURES[one] for one in failures if one < len(_FAILURES))
    return integer(status), names, free_text(by_tag.get(0x30, b""))


def integer(element: bytes) -> int:
    """A number of up to eight octets."""
    if element[0] != 0x02:
        raise ValueError("a number is missing")
    return int.from_bytes(element[inside(element, 0) :][:8], "big", signed=True)


def free_text(element: bytes) -> str:
    """PKIFreeText ::= SEQUENCE OF UTF8String."""
    if not element:
        return ""
    return shown(b" ".join(one[inside(one, 0) :] for one in items(element)))
