"""Has a time stamping authority say that something was there by then, and checks its word.

RFC 3161, over HTTP (section 3.4).  What is sent is a digest of a digest: the authority learns
nothing of what it stamps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from gatepost.certificate import Certificate
from gatepost.errors import Malformed, Refused
from gatepost.lookup.revocation import Fetch
from gatepost.pki.der import first, items

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse

MAXIMUM_SIZE = 64 * 1024
_KIND = "application/timestamp-query"
_CERTIFICATES = 0xA0  # RFC 5652 section 5.1


@dataclass(frozen=True, slots=True)
class Stamped:
    """What an authority says."""

    when: datetime
    serial: int

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {"when": self.when.isoformat(), "serial": f"{self.serial:X}"}


async def ask(fetch: Fetch, url: str, digest: str, anchors: Sequence[Certificate]) -> bytes:
    """A token over a digest (hex), whole as it came; raises a GatepostError.

    Without anchors it is only seen to be about the digest and ours.
    """
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder  # noqa: PLC0415  rare

    asked = (
        TimestampRequestBuilder()
        .data(bytes.fromhex(digest))
        .hash_algorithm(HashAlgorithm.SHA256)
        .build()
    )
    token = await fetch(url, MAXIMUM_SIZE, body=asked.as_bytes(), kind=_KIND)
    found = _read(token)
    if found.tst_info.nonce != asked.nonce:
        raise Malformed("the time stamp is the answer to another question")
    if found.tst_info.message_imprint.message != asked.message_imprint.message:
        raise Malformed("the time stamp is over something else")
    if anchors:
        verify(token, digest, anchors)
    return token


def verify(token: bytes, digest: str, anchors: Sequence[Certificate]) -> Stamped:
    """Check a token by authorities that are trusted for this; raises Refused or Malformed."""
    from rfc3161_client import VerificationError, VerifierBuilder  # noqa: PLC0415  rare

    found = _read(token)
    verifier = VerifierBuilder(roots=[one.x509 for one in anchors]).build()
    try:
        verifier.verify_message(found, bytes.fromhex(digest))
    except (VerificationError, ValueError) as error:
        raise Refused(f"the time stamp does not hold: {error}") from error
    info = found.tst_info
    return Stamped(info.gen_time, info.serial_number)


def _read(token: bytes) -> TimeStampResponse:
    from rfc3161_client import PKIStatus, decode_timestamp_response  # noqa: PLC0415  rare

    try:
        found = decode_timestamp_response(_ordered(token))
        status = PKIStatus(found.status)
        if status is PKIStatus.GRANTED:
            _ = found.tst_info.gen_time
    except (ValueError, IndexError) as error:
        raise Malformed(f"this is not a time stamp: {error}") from error
    if status is not PKIStatus.GRANTED:
        said = ("; ".join(found.status_string) or status.name.lower())[:200]
        shown = "".join(one if one.isprintable() else " " for one in said)
        raise Refused(f"the time stamping authority refuses: {shown}")
    return found


def _ordered(token: bytes) -> bytes:
    """With the certificates of the SignedData in DER's order (X.690 section 11.6).

    OpenSSL's authorities send them as configured, which the library refuses to read; their
    order is not signed, and the octets stay as many.
    """
    parts = list(items(token))
    if len(parts) < 2:  # an error has no token
        return token
    signed = first(list(items(parts[1]))[1])
    for one in items(signed):
        if one[0] == _CERTIFICATES:
            found = list(items(one))
            return token.replace(b"".join(found), b"".join(sorted(found)), 1)
    return token
