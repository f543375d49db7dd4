"""Canonical and 7-bit forms of an entity before it is signed (RFC 8551 section 3.1).

Relays re-encode 8-bit parts and long lines, and a signature dies of it.  So exactly the
leaves that a relay might touch are encoded beforehand; every other octet stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gatepost.mail.content import Content
from gatepost.mail.field import first, replaced
from gatepost.mime.entity import Entity, parse
from gatepost.mime.transfer import decode, encode_base64, encode_quoted_printable

MAXIMUM_LINE = 998  # RFC 5322 section 2.1.1, without CRLF
WIDE = frozenset({"8bit", "binary"})
IDENTITY = frozenset({"7bit", "8bit", "binary"})
KNOWN = IDENTITY | {"base64", "quoted-printable"}
FIELD = "Content-Transfer-Encoding"


@dataclass(frozen=True, slots=True)
class Conversion:
    """The converted octets; `obstacles` says what could not be made 7-bit, and why."""

    octets: bytes
    obstacles: tuple[str, ...] = ()


def crlf(octets: bytes) -> bytes:
    """Every line end as CRLF (RFC 8551 section 3.1.1).  A bare CR is data and stays."""
    if octets.count(b"\n") == octets.count(b"\r\n"):
        return octets
    return octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def crlf_chunks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """As `crlf`, of octets in pieces."""
    held = b""
    for chunk in chunks:
        octets = held + chunk if held else chunk
        held = b"\r" if octets.endswith(b"\r") else b""  # its LF may come with the next chunk
        yield crlf(octets[:-1] if held else octets)
    yield held


@dataclass(frozen=True, slots=True)
class Straight:
    """Content with every line end as CRLF, made while it is read."""

    content: Content
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets."""
        return crlf_chunks(self.content.chunks())


def straight(content: Content) -> Content:
    """As `crlf`, of content that may be large."""
    return Straight(content, sum(map(len, crlf_chunks(content.chunks()))))


def are_lines(chunks: Iterable[bytes]) -> bool:
    """Whether SMTP can carry the octets: no NUL, and CR and LF only together (RFC 5321 2.3.8)."""
    held = b""
    for chunk in chunks:
        octets = held + chunk if held else chunk
        held = b"\r" if octets.endswith(b"\r") else b""  # its LF may come with the next chunk
        lines = octets.count(b"\r\n")
        if octets.count(b"\n") != lines or octets.count(b"\r") - len(held) != lines:
            return False
        if b"\0" in octets:
            return False
    return not held


def is_seven_bit(content: Content) -> bool:
    """Whether it is 7bit data (RFC 2045 section 2.7): ASCII without NUL, CRLF only, short lines."""
    return are_seven_bit(content.chunks())


def are_seven_bit(chunks: Iterable[bytes]) -> bool:
    """As `is_seven_bit`, of octets in pieces."""
    found = SevenBit()
    return all(map(found.feed, chunks)) and found.is_clean


class SevenBit:
    """Whether the octets fed so far are 7bit data."""

    __slots__ = ("_column", "_held")

    def __init__(self) -> None:
        self._held = b""
        self._column = 0

    @property
    def is_clean(self) -> bool:
        """Whether all of them are, if no more come."""
        return self._column >= 0 and not self._held

    def feed(self, chunk: bytes) -> bool:
        """Look at more octets; whether they can still be 7bit data."""
        if self._column >= 0:
            octets = self._held + chunk if self._held else chunk
            self._held = b"\r" if octets.endswith(b"\r") else b""  # its LF may come with the next
            self._column = _column(octets[:-1] if self._held else octets, self._column)
        return self._column >= 0


def to_seven_bit(octets: bytes) -> bytes:
    """The entity with every leaf in 7 bits, as far as that is allowed; see `convert`."""
    return convert(octets).octets


def convert(octets: bytes) -> Conversion:
    """Encode the leaves that are not 7bit data: text quoted-printable, others base64.

    The inside of a multipart/signed is never touched, nor is a message/* encoded
    (RFC 2046 section 5.2); whatever stays wide is named in `obstacles`.
    """
    writer = _Writer(octets)
    writer.entity(parse(octets))
    joined = b"".join(writer.pieces)
    return Conversion(octets if joined == octets else joined, tuple(writer.obstacles))


def _column(octets: bytes, column: int) -> int:
    """The length of the last, unfinished line; -1 where the octets are not 7bit data."""
    if not octets.isascii() or b"\0" in octets:
        return -1
    lines = octets.count(b"\r\n")
    if octets.count(b"\n") != lines or octets.count(b"\r") != lines:
        return -1
    return _longest(octets, column)


def _longest(octets: bytes, column: int) -> int:
    position = -column
    while len(octets) - position > MAXIMUM_LINE:
        # jump to the last line end within reach: every line passed over is short enough
        end = octets.rfind(b"\n", max(position, 0), position + MAXIMUM_LINE + 2)
        if end < 0:
            return -1
        position = end + 1
    last = octets.rfind(b"\n")
    return len(octets) - (last + 1 if last >= 0 else position)


class _Writer:
    """Collects the pieces of the converted entity, slices of the original where unchanged."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.pieces: list[bytes] = []
        self.obstacles: list[str] = []

    def entity(self, entity: Entity) -> None:
        """Write one entity."""
        if entity.content_type.essence == "multipart/signed":
            self._untouched(entity, "a signed part has octets that are not 7bit data")
        elif entity.children:
            self._container(entity)
        elif entity.content_type.type in {"multipart", "message"}:
            self._untouched(entity, f"a {entity.content_type.essence} must not be encoded")
        else:
            self._leaf(entity)

    def _untouched(self, entity: Entity, reason: str) -> None:
        raw = entity.raw
        self.pieces.append(raw)
        if not _clean(raw):
            self.obstacles.append(reason)

    def _container(self, entity: Entity) -> None:
        before, place = len(self.obstacles), len(self.pieces)
        self.pieces.append(b"")
        position = entity.body_start
        for child in entity.children:
            self._between(position, child.start)
            self.entity(child)
            position = child.stop
        self._between(position, entity.stop)
        narrow = entity.encoding in WIDE and len(self.obstacles) == before
        # a message without fields got one: it must not join those of the part that holds it
        grown = not entity.children[0].header and bool(self.pieces[place + 2])
        self.pieces[place] = self._header(entity, "7bit" if narrow else None, apart=grown)

    def _between(self, start: int, stop: int) -> None:
        piece = crlf(self.octets[start:stop])
        self.pieces.append(piece)
        if not _clean(piece):
            self.obstacles.append("there are octets outside all parts that are not 7bit data")

    def _leaf(self, entity: Entity) -> None:
        body, coding = _encoded(entity)
        last = entity.stop == len(self.octets)
        if coding is not None and not last and body.endswith(b"\r\n") and coding == "base64":
            body = body[:-2]  # the line break before the delimiter is the delimiter's own
        if not _clean(body):
            self.obstacles.append(f"a part is encoded as {entity.encoding!r}, which is not known")
        self.pieces += [self._header(entity, coding), body]

    def _header(self, entity: Entity, coding: str | None, *, apart: bool = False) -> bytes:
        """The header and the empty line, with this encoding where it changes."""
        header = crlf(entity.header)
        gap = crlf(self.octets[entity.start + len(entity.header) : entity.body_start])
        if coding is not None and not (coding == entity.encoding and first(header, FIELD)):
            header, apart = replaced(header, FIELD, coding), True
        if not _clean(header):
            self.obstacles.append("a header field is not ASCII")
        return header + (gap or (b"\r\n" if apart else b""))


def _encoded(entity: Entity) -> tuple[bytes, str | None]:
    """A leaf's body and its new encoding; None where the header need not change."""
    body, coding = entity.body, entity.encoding
    text = entity.content_type.type == "text" and b"\0" not in body
    if text or coding not in IDENTITY:
        body = crlf(body)
    if _clean(body):
        return body, "7bit" if coding in WIDE else None
    if coding not in KNOWN:
        return body, None
    plain = decode(body, coding)
    if coding == "quoted-printable" or (text and coding != "base64"):
        return encode_quoted_printable(plain), "quoted-printable"
    return encode_base64(plain), "base64"


def _clean(octets: bytes) -> bool:
    return _column(octets, 0) >= 0
