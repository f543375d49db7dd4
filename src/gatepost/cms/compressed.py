"""CompressedData, read only: what grows beyond reason is refused while it grows (RFC 3274)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from gatepost.cms import algorithms, ber, identifier
from gatepost.cms import content as contents
from gatepost.cms.content import Pieces
from gatepost.errors import LimitExceeded, Malformed, Unsupported

MAXIMUM_SIZE = 256 * 1024 * 1024
MAXIMUM_RATIO = 100  # text gives 3 to 10, tables perhaps 50, a bomb 1000…
HARMLESS = 4 * 1024 * 1024  # …which does not matter up to here
PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Decompressed:
    """What was inside."""

    content: bytes = field(repr=False)
    content_type: str = "data"


def decompress(
    octets: bytes, *, limit: int = MAXIMUM_SIZE, ratio: int = MAXIMUM_RATIO
) -> Decompressed:
    """Inflate a ContentInfo with CompressedData (BER).

    Raises LimitExceeded over `limit` octets, or over `ratio` times what came in;
    Malformed or Unsupported for what is no zlib data.
    """
    kind, body = contents.opened(octets)
    if kind != contents.COMPRESSED_DATA:
        raise Unsupported(f"{contents.name(kind)} where compressed-data was expected")
    fields = body.sequence()
    if len(fields) != 3:
        body.fail("not a CompressedData")
    algorithm, _ = identifier.opened(ber.parse(identifier.raw(fields[1])))
    if algorithms.find(algorithm, "compression") is None:
        raise Unsupported(f"the compression {ber.dotted(algorithm)} is not supported")
    content_oid, inside = contents.encapsulated(fields[2])
    if inside is None:
        body.fail("compressed data without content")
    allowed = min(limit, max(HARMLESS, ratio * inside.size))
    return Decompressed(_inflated(inside, allowed), contents.name(content_oid))


def _inflated(inside: Pieces, allowed: int) -> bytes:
    stream, room = zlib.decompressobj(), allowed
    grown: list[bytes] = []
    try:
        for piece in inside.pieces:
            for at in range(0, len(piece), PIECE):
                more = stream.decompress(piece[at : at + PIECE], room + 1)
                room -= len(more)
                if room < 0:
                    raise LimitExceeded(f"compressed data grows beyond {allowed} octets")
                grown.append(more)
    except zlib.error as error:
        raise Malformed(f"compressed data that is not zlib's: {error}") from error
    if not stream.eof:
        raise Malformed("compressed data is cut short")
    return b"".join(grown)
