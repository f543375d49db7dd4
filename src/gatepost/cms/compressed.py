"""CompressedData, read only: what grows beyond reason is refused while it grows (RFC 3274)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from gatepost.cms import algorithms, ber, bulk, identifier
from gatepost.cms import content as contents
from gatepost.cms.bulk import Bulk
from gatepost.errors import LimitExceeded, Malformed, Unavailable, Unsupported
from gatepost.mail.content import Content, Octets, join

MAXIMUM_SIZE = 256 * 1024 * 1024
MAXIMUM_RATIO = 100  # text gives 3 to 10, tables perhaps 50, a bomb 1000…
HARMLESS = 4 * 1024 * 1024  # …which does not matter up to here
PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Inflated:
    """Compressed content whose size is known, inflated anew at each reading."""

    packed: Content
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the content; raises Unavailable if it is not what it was."""
        try:
            yield from _inflated(self.packed, self.size)
        except Malformed as error:
            raise Unavailable("content changed while it was being inflated") from error


@dataclass(frozen=True, slots=True)
class Decompressed:
    """What was inside."""

    plain: Content = field(repr=False)
    content_type: str = "data"

    @property
    def content(self) -> bytes:
        """The content, made one."""
        return join(self.plain)


def decompress(
    octets: bytes | Bulk, *, limit: int = MAXIMUM_SIZE, ratio: int = MAXIMUM_RATIO
) -> Decompressed:
    """Inflate a ContentInfo with CompressedData (BER).

    Raises LimitExceeded over `limit` octets, or over `ratio` times what came in;
    Malformed or Unsupported for what is no zlib data.
    """
    frame, apart = bulk.taken(octets)
    kind, body = contents.opened(frame)
    if kind != contents.COMPRESSED_DATA:
        raise Unsupported(f"{contents.name(kind)} where compressed-data was expected")
    fields = body.sequence()
    if len(fields) != 3:
        body.fail("not a CompressedData")
    algorithm, _ = identifier.opened(ber.parse(identifier.raw(fields[1])))
    if algorithms.find(algorithm, "compression") is None:
        raise Unsupported(f"the compression {ber.dotted(algorithm)} is not supported")
    content_oid, inside = contents.encapsulated(fields[2])
    packed = apart or inside
    if packed is None:
        body.fail("compressed data without content")
    allowed = min(limit, max(HARMLESS, ratio * packed.size))
    return Decompressed(_plain(packed, allowed), contents.name(content_oid))


def _plain(packed: Content, allowed: int) -> Content:
    """Small content at once; large content is inflated now to see that it can be, and when read."""
    held: list[bytes] = []
    size = 0
    for piece in _inflated(packed, allowed):
        size += len(piece)
        if size <= HARMLESS:
            held.append(piece)
        else:
            held.clear()
    return Octets(b"".join(held)) if size <= HARMLESS else Inflated(packed, size)


def _inflated(packed: Content, allowed: int) -> Iterator[bytes]:
    stream, room = zlib.decompressobj(), allowed
    try:
        for chunk in packed.chunks():
            rest, full = chunk, True
            while rest or full:  # a full piece may have more behind it that is read already
                size = min(room + 1, PIECE)
                more = stream.decompress(rest, size)
                room -= len(more)
                if room < 0:
                    raise LimitExceeded(f"compressed data grows beyond {allowed} octets")
                yield more
                rest, full = stream.unconsumed_tail, len(more) == size
    except zlib.error as error:
        raise Malformed(f"compressed data that is not zlib's: {error}") from error
    if not stream.eof:
        raise Malformed("compressed data is cut short")
