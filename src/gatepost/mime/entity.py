"""MIME entities as ranges of the octets they came in (RFC 2045, RFC 2046 section 5).

Nothing is re-serialised: an entity knows where it starts and stops, so a signed part is
verified over the very octets that were signed.  Lines may end LF; a missing close
delimiter, odd blanks after a delimiter and an empty part are read as meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content, Octets, Slice, join
from gatepost.mime import transfer
from gatepost.mime.content_type import TEXT, ContentType, content_type, encoding

MAXIMUM_DEPTH = 50
MAXIMUM_PARTS = 10_000
MAXIMUM_HEADER = 1024 * 1024
MAXIMUM_BOUNDARY = 1_000  # RFC 2046 section 5.1.1 allows 70; senders do not
MAXIMUM_DELIMITERS = 100_000  # lines that begin like a delimiter, in the whole tree

MESSAGE = ContentType("message", "rfc822")
_EMBEDDING = frozenset({"message/rfc822", "message/global", "message/news"})
_IDENTITY = frozenset({"7bit", "8bit", "binary"})
# Fields as in mail.field, after the line an mbox puts before them.
_HEADER = re.compile(rb"(?:>?From [^\n]*\n)?(?:[!-9;-~]+[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z))*")
_EMPTY_LINE = re.compile(rb"\r?\n")
_AFTER = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity: `octets[start:stop]`, its body from `body_start` on.

    `children` are the parts of a multipart or the message in a message/rfc822.  The
    octets between two parts are a delimiter; `close` is where the epilogue begins,
    None where there was no close delimiter.
    """

    octets: bytes = field(repr=False)
    start: int
    stop: int
    body_start: int
    header: bytes = field(repr=False)
    content_type: ContentType
    encoding: str
    children: tuple[Entity, ...] = ()
    close: int | None = None

    @property
    def raw(self) -> bytes:
        """The entity's exact octets, as a signature over it has them."""
        if self.start == 0 and self.stop == len(self.octets):
            return self.octets
        return self.octets[self.start : self.stop]

    @property
    def body(self) -> bytes:
        """The octets after the empty line, still encoded."""
        return self.octets[self.body_start : self.stop]

    @property
    def is_multipart(self) -> bool:
        """Whether it is a multipart whose parts were found."""
        return self.content_type.type == "multipart" and bool(self.children)


def split_header(content: bytes) -> tuple[bytes, bytes]:
    """A whole message as header (ending after its last field) and body, without the empty line."""
    header_stop, body_start = bounds(content, 0, len(content))
    header = content[:header_stop]
    return header if not header or header.endswith(b"\n") else header + b"\r\n", content[
        body_start:
    ]


def split(content: Content) -> tuple[bytes, Content]:
    """As `split_header`; large content is not read beyond its header."""
    if isinstance(content, Octets):
        header, body = split_header(content.data)
        return header, Octets(body)
    start = join(Slice(content, 0, min(content.size, MAXIMUM_HEADER + 1026)))
    header, body = split_header(start)
    return header, Slice(content, len(start) - len(body), content.size)


def embeds(kind: ContentType, coding: str) -> bool:
    """Whether the body is a message that can be looked into."""
    return kind.essence in _EMBEDDING and coding in _IDENTITY


def parse(octets: bytes, *, descend: bool = True) -> Entity:
    """The tree of an entity or message; raises LimitExceeded.

    `descend` also looks into message/rfc822 parts.
    """
    return _Parser(octets, descend).entity(0, len(octets), TEXT, 0)


def parts(entity: Entity) -> tuple[Entity, ...]:
    """The body parts of a multipart; nothing for any other entity."""
    return entity.children if entity.content_type.type == "multipart" else ()


def walk(entity: Entity) -> Iterator[Entity]:
    """The entity and everything in it, in order of appearance."""
    yield entity
    for child in entity.children:
        yield from walk(child)


def decoded(entity: Entity) -> bytes:
    """The body with its transfer encoding undone."""
    return transfer.decode(entity.body, entity.encoding)


def bounds(octets: bytes, start: int, stop: int) -> tuple[int, int]:
    """Where the header of an entity in this range stops and where its body starts.

    A line that is no field ends the header, empty or not: it must never travel with the
    fields that stay in clear text when the body is encrypted.  Postfix reads it likewise.
    """
    match = _HEADER.match(octets, start, min(stop, start + MAXIMUM_HEADER + 1024))
    end = match.end() if match else start
    if end - start > MAXIMUM_HEADER:
        raise LimitExceeded(f"header is longer than {MAXIMUM_HEADER} octets")
    empty = _EMPTY_LINE.match(octets, end, stop)
    return end, empty.end() if empty else end


class _Parser:
    """One parse: counts what hostile input could multiply."""

    def __init__(self, octets: bytes, descend: bool) -> None:  # noqa: FBT001 - private
        self.octets = octets
        self.descend = descend
        self.parts = 0
        self.delimiters = 0

    def entity(self, start: int, stop: int, default: ContentType, depth: int) -> Entity:
        """The entity in this range."""
        self.parts += 1
        if self.parts > MAXIMUM_PARTS:
            raise LimitExceeded(f"message has more than {MAXIMUM_PARTS} parts")
        if depth > MAXIMUM_DEPTH:
            raise LimitExceeded(f"parts are nested more than {MAXIMUM_DEPTH} deep")
        header_stop, body_start = bounds(self.octets, start, stop)
        header = self.octets[start:header_stop]
        kind, coding = content_type(header, default), encoding(header)
        children, close = self._children(kind, coding, body_start, stop, depth)
        return Entity(self.octets, start, stop, body_start, header, kind, coding, children, close)

    def _children(
        self, kind: ContentType, coding: str, start: int, stop: int, depth: int
    ) -> tuple[tuple[Entity, ...], int | None]:
        if kind.type == "multipart" and 0 < len(kind.boundary) <= MAXIMUM_BOUNDARY:
            spans, close = self._spans(kind.boundary, start, stop)
            # RFC 2046 section 5.1.5: in a digest the default type is a message
            default = MESSAGE if kind.subtype == "digest" else TEXT
            return tuple(self.entity(*span, default, depth + 1) for span in spans), close
        if self.descend and embeds(kind, coding):
            return (self.entity(start, stop, TEXT, depth + 1),), None
        return (), None

    def _spans(
        self, boundary: bytes, start: int, stop: int
    ) -> tuple[list[tuple[int, int]], int | None]:
        """The ranges of the parts and where the epilogue starts (RFC 2046 section 5.1.1)."""
        spans: list[tuple[int, int]] = []
        part: int | None = None
        for low, high, closing in self._delimiters(boundary, start, stop):
            if part is not None:
                spans.append((part, max(part, low)))
            if closing:
                return spans, high
            part = high
            if len(spans) > MAXIMUM_PARTS:
                raise LimitExceeded(f"message has more than {MAXIMUM_PARTS} parts")
        if part is not None:
            spans.append((part, stop))
        return spans, None

    def _delimiters(
        self, boundary: bytes, start: int, stop: int
    ) -> Iterator[tuple[int, int, bool]]:
        """Each delimiter line: where its line break starts, where it ends, whether it closes.

        'The CRLF preceding the boundary delimiter line is conceptually attached to the boundary.'
        """
        dashes = b"--" + boundary
        position = start
        if not self.octets.startswith(dashes, start, stop):
            position = self._next(dashes, start, stop)
        while position >= 0:
            match = _AFTER.match(self.octets, position + len(dashes), stop)
            end = match.end() if match else position + len(dashes)
            if match:
                yield self._line_break(start, position), end, match[1] is not None
            elif self.delimiters >= MAXIMUM_DELIMITERS:
                raise LimitExceeded("message has too many lines that look like delimiters")
            self.delimiters += 1
            if match and self.octets.startswith(dashes, end, stop):
                position = end
            else:
                position = self._next(dashes, end, stop)

    def _next(self, dashes: bytes, start: int, stop: int) -> int:
        found = self.octets.find(b"\n" + dashes, start, stop)
        return found + 1 if found >= 0 else -1

    def _line_break(self, start: int, position: int) -> int:
        """Where the line break before a delimiter starts, within the body."""
        low = position - 1 if position > start else position
        return low - 1 if low > start and self.octets[low - 1 : low] == b"\r" else low
