"""The tree of an entity too large to hold, found while its octets pass (RFC 2046 section 5.1).

What `entity.parse` finds in octets at hand, by the same rules and within the same limits;
here the parts are offsets only, and of the octets no more than a header is held.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content
from gatepost.mime import entity
from gatepost.mime.content_type import TEXT, ContentType, content_type, encoding

MAXIMUM_BLANKS = 1000  # after a delimiter
_NOWHERE = -2
_AFTER = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")
_CUT = re.compile(rb"(--)?[ \t]*\r(?=\r\n--)")
_PADDED = re.compile(rb"(?:--)?[ \t]{%d}" % MAXIMUM_BLANKS)


@dataclass(slots=True)
class Part:
    """One entity: where it starts and stops, and where its body starts.

    `close` is where the epilogue of a multipart begins, None where there was no close
    delimiter.
    """

    start: int
    stop: int
    body_start: int
    header: bytes = field(repr=False)
    content_type: ContentType
    encoding: str
    children: list[Part]
    close: int | None = None


def outline(content: Content, *, descend: bool = True) -> Part:
    """The tree of an entity; raises LimitExceeded."""
    return _Outliner(content, descend).run()


class _Window:
    """A stretch of the content, moving forward; before the first octet stands a line break."""

    def __init__(self, content: Content) -> None:
        self._chunks = content.chunks()
        self.octets = b"\n"
        self.base = -1  # offset of the first octet held
        self.ended = False

    @property
    def end(self) -> int:
        return self.base + len(self.octets)

    def reach(self, position: int) -> None:
        """Hold the octets up to here, if there are so many."""
        if self.ended or self.end >= position:
            return
        held, size = [self.octets], self.end
        while size < position and not self.ended:
            chunk = next(self._chunks, None)
            self.ended = chunk is None
            held.append(chunk or b"")
            size += len(held[-1])
        self.octets = b"".join(held)

    def drop(self, position: int) -> None:
        """Forget what stands before."""
        if position > self.base:
            self.octets = self.octets[position - self.base :]
            self.base = position


class _Open:
    """A multipart whose close delimiter has not come yet."""

    __slots__ = ("dashes", "found", "part", "searched")

    def __init__(self, part: Part) -> None:
        self.part = part
        self.dashes = b"\n--" + part.content_type.boundary
        self.searched, self.found = part.body_start - 1, _NOWHERE

    def next(self, window: _Window, position: int) -> int | None:
        """The offset of the next line break with what begins like a delimiter after it."""
        if self.found >= max(position, self.searched):
            return self.found
        start = max(position, self.searched)
        at = window.octets.find(self.dashes, max(start - window.base, 0))
        if at >= 0:
            self.found = self.searched = window.base + at
            return self.found
        self.searched = max(start, window.end - len(self.dashes) + 1)
        self.found = _NOWHERE
        return None


class _Outliner:
    """One pass: the entities that are open, outermost first, and the multiparts among them."""

    def __init__(self, content: Content, descend: bool) -> None:  # noqa: FBT001 - private
        self.window = _Window(content)
        self.size = content.size
        self.descend = descend
        self.chain: list[Part] = []
        self.open: list[tuple[int, _Open]] = []  # with the place of its part in the chain
        self.parts = 0
        self.delimiters = 0

    def run(self) -> Part:
        position = self.enter(0, TEXT)
        root = self.chain[0]
        while self.open and (at := self.candidate(position)) is not None:
            position = self.delimiter(at)
        self.leave(0, self.size)
        return root

    def candidate(self, position: int) -> int | None:
        """The next place from here that begins like a delimiter of an open multipart."""
        window, longest = self.window, max(len(one.dashes) for _, one in self.open)
        while True:
            places = [one.next(window, position - 1) for _, one in self.open]
            at = min((one for one in places if one is not None), default=None)
            needed = window.end + 1 if at is None else at + 2 * (longest + MAXIMUM_BLANKS + 4)
            if window.ended or window.end >= needed:
                return at
            if at is None:
                window.drop(max(position - 2, window.end - longest - 1))
            window.reach(needed)

    def delimiter(self, at: int) -> int:
        """Act on this place; gives the position to go on from."""
        for place, one in self.open:  # a delimiter of the outermost ends everything inside
            if one.found == at and (match := self.match(one, at)):
                part, low = self.chain[place], self.line_break(self.chain[place], at)
                self.leave(place + 1, low)
                end = self.window.base + match.end()
                if match[1] is not None:
                    part.close = end
                    self.open.pop()
                    self.window.drop(end - 2)
                    return end
                kind = entity.MESSAGE if part.content_type.subtype == "digest" else TEXT
                return self.enter(end, kind)
        return at + 2

    def match(self, one: _Open, at: int) -> re.Match[bytes] | None:
        self.delimiters += 1
        after = at + len(one.dashes) - self.window.base
        if _PADDED.match(self.window.octets, after):
            raise LimitExceeded(f"a delimiter is followed by {MAXIMUM_BLANKS} blanks")
        match = _AFTER.match(self.window.octets, after) or self.cut(one, after)
        if match is None and self.delimiters > entity.MAXIMUM_DELIMITERS:
            raise LimitExceeded("message has too many lines that look like delimiters")
        one.found = _NOWHERE
        one.searched = at + 1
        return match

    def cut(self, one: _Open, after: int) -> re.Match[bytes] | None:
        """A delimiter at the end of its part, which the line break of an outer one cuts short."""
        octets, match = self.window.octets, _CUT.match(self.window.octets, after)
        if match is not None:
            for _, outer in self.open:
                if outer is one:
                    break
                end = match.end() + 1 + len(outer.dashes)
                if octets.startswith(outer.dashes, match.end() + 1) and _AFTER.match(octets, end):
                    return match
        return None

    def line_break(self, part: Part, at: int) -> int:
        """Where the line break before a delimiter starts, within the body."""
        low = max(at, part.body_start)
        before = low - 1 - self.window.base
        is_carriage_return = self.window.octets[before : before + 1] == b"\r" and before >= 0
        return low - 1 if low > part.body_start and is_carriage_return else low

    def enter(self, start: int, default: ContentType) -> int:
        """Begin an entity, and those that begin with it; gives where its body starts."""
        self.parts += 1
        if self.parts > entity.MAXIMUM_PARTS:
            raise LimitExceeded(f"message has more than {entity.MAXIMUM_PARTS} parts")
        if len(self.chain) > entity.MAXIMUM_DEPTH:
            raise LimitExceeded(f"parts are nested more than {entity.MAXIMUM_DEPTH} deep")
        header, body_start = self.header(start)
        kind, coding = content_type(header, default), encoding(header)
        part = Part(start, self.size, body_start, header, kind, coding, [])
        if self.chain:
            self.chain[-1].children.append(part)
        self.chain.append(part)
        if kind.type == "multipart" and 0 < len(kind.boundary) <= entity.MAXIMUM_BOUNDARY:
            self.open.append((len(self.chain) - 1, _Open(part)))
        elif self.descend and entity.embeds(kind, coding):
            return self.enter(body_start, TEXT)
        return body_start

    def leave(self, place: int, stop: int) -> None:
        """End the entities from this place of the chain on."""
        if place < len(self.chain):
            stop = max(stop, self.chain[place].start)
        for part in self.chain[place:]:
            part.start, part.stop = min(part.start, stop), stop
            part.body_start = min(part.body_start, stop)
            if part.close is not None:
                part.close = min(part.close, stop)
        del self.chain[place:]
        while self.open and self.open[-1][0] >= place:
            self.open.pop()

    def header(self, start: int) -> tuple[bytes, int]:
        """The header of the entity that starts here, and where its body starts."""
        window = self.window
        window.drop(start - 2)
        furthest = start + entity.MAXIMUM_HEADER + 1026
        window.reach(start + 1024)
        while True:
            first = start - window.base
            stop, body = entity.bounds(window.octets, first, len(window.octets))
            complete = window.octets.find(b"\n", stop) >= 0
            if complete or window.ended or window.end >= furthest:
                break
            window.reach(min(window.end * 2 - start, furthest))
        limit = self.first_delimiter(start, window.base + body)
        if limit is not None:
            stop, body = entity.bounds(window.octets, first, limit - window.base)
        return window.octets[first:stop], window.base + body

    def first_delimiter(self, start: int, body_start: int) -> int | None:
        """Where a delimiter cuts a header short that begins here, if one does."""
        found = [self.cut_by(place, one, start, body_start) for place, one in self.open]
        return min((one for one in found if one is not None), default=None)

    def cut_by(self, place: int, one: _Open, start: int, body_start: int) -> int | None:
        at = self.find(one, start - 1, body_start)
        while at is not None:
            after = at + len(one.dashes) - self.window.base
            if _AFTER.match(self.window.octets, after) or self.cut(one, after):
                return max(start, self.line_break(self.chain[place], at))
            at = self.find(one, at + 1, body_start)
        return None

    def find(self, one: _Open, at: int, stop: int) -> int | None:
        window, size = self.window, len(one.dashes)
        window.reach(stop + 2 * (size + entity.MAXIMUM_BOUNDARY + MAXIMUM_BLANKS))
        found = window.octets.find(one.dashes, at - window.base, stop - window.base + size)
        return None if found < 0 else window.base + found
