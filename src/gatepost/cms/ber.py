"""Reading BER (X.690) from strangers: definite and indefinite, whole or in pieces, bounded.

Nothing is copied and nothing recurses.  Depth, and the number of elements in proportion to
the octets, are capped, so hostile input costs time linear in its size and small at that.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from gatepost.cms import der
from gatepost.errors import LimitExceeded, Malformed

MAXIMUM_DEPTH = 32
SPARE_ELEMENTS = 20_000  # any message may have so many elements…
OCTETS_PER_ELEMENT = 32  # …and one more for each so many octets read until then…
MAXIMUM_ELEMENTS = 1_000_000  # …but no more than this, about one second of work

INDEFINITE = -1
END_OF_CONTENTS = b"\x00\x00"

# X.690 8.1.5 gives zero to what ends an indefinite length; numbers above 30 take more octets
_COMMON = bytes(tag > 0 and tag & 0x1F != 0x1F for tag in range(256))


class Source:
    """The octets being read, the ends found so far, and how many elements may still come."""

    __slots__ = ("budget", "ends", "furthest", "octets", "reached", "unearned")

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self.ends: dict[int, int] = {}  # first content octet → end, of indefinite elements
        self.budget = SPARE_ELEMENTS
        self.furthest = 0  # the furthest place read
        self.reached = 0  # the furthest place whose octets count in the budget
        self.unearned = MAXIMUM_ELEMENTS - SPARE_ELEMENTS

    def spend(self, count: int, position: int) -> None:
        """Account for so many elements, read up to here."""
        self.furthest = max(self.furthest, position)
        if count > self.budget:
            self.earn(count, position)
        self.budget -= count

    def earn(self, count: int, position: int) -> None:
        """Raise LimitExceeded unless reading up to here warrants so many elements.

        What is yet to come warrants nothing: a mail of tiny pieces is refused at its start.
        """
        ahead = max(position, self.furthest) - self.reached
        gained = min(ahead // OCTETS_PER_ELEMENT, self.unearned)
        self.reached += gained * OCTETS_PER_ELEMENT
        self.unearned -= gained
        self.budget += gained
        if count > self.budget:
            raise LimitExceeded("BER: more elements than the size of the message warrants")

    def end(self, inner: int, limit: int) -> int:
        """Where the indefinite-length contents starting here end (X.690 8.1.5).

        One scan finds the ends of all nested ones too, so no octet is scanned twice.
        """
        if inner not in self.ends:
            self._scan(inner, limit)
        return self.ends[inner]

    def _scan(self, inner: int, limit: int) -> None:
        octets, pending, position, spent = self.octets, [inner], inner, 0
        while pending:
            if octets.startswith(END_OF_CONTENTS, position, limit):
                self.ends[pending.pop()] = position
                position += 2
                continue
            spent += 1
            if spent > self.budget:
                self.earn(spent, position)
            _, start, position = head(octets, position, limit)
            if position == INDEFINITE:
                position = start
                pending.append(start)
                if len(pending) > MAXIMUM_DEPTH:
                    _too_deep(start)
        self.spend(spent, position)


class Element(NamedTuple):
    """One element; a tuple, for it is made by the dozen for every message."""

    source: Source
    tag: int
    start: int  # of the identifier octet
    inner: int  # first content octet
    outer: int  # one past the contents
    stop: int  # one past the whole element
    depth: int

    @property
    def raw(self) -> bytes:
        """The element as it was sent."""
        return self.source.octets[self.start : self.stop]

    @property
    def is_constructed(self) -> bool:
        """Whether the contents are elements themselves."""
        return bool(self.tag & der.CONSTRUCTED)

    def children(self) -> list[Element]:  # noqa: C901 - in one piece: half of the time goes here
        """The elements inside."""
        source, depth, limit = self.source, self.depth + 1, self.outer
        if not self.tag & 0x20 or depth > MAXIMUM_DEPTH:
            _childless(self)
        octets, position, room = source.octets, self.inner, source.budget
        found: list[Element] = []
        make, keep = tuple.__new__, found.append
        while position < limit:
            if len(found) > room:
                source.earn(len(found), position)
                room = source.budget
            inner, tag = position + 2, octets[position]
            # what most elements look like is read here: a call for each takes as long as all else
            size = octets[position + 1] if inner <= limit and _COMMON[tag] else 0xFF
            if size == 0x82 and inner + 2 <= limit:
                size = octets[inner] << 8 | octets[inner + 1]
                inner += 2
                stop = outer = inner + size
                if stop > limit:
                    _too_long(position)
            elif size < 0x80:
                stop = outer = inner + size
                if stop > limit:
                    _too_long(position)
            else:
                tag, inner, outer = head(octets, position, limit)
                stop = outer
                if outer == INDEFINITE:
                    outer = source.end(inner, limit)
                    stop = outer + 2
            # the constructor of a named tuple takes as long as all the rest here
            keep(make(Element, (source, tag, position, inner, outer, stop, depth)))
            position = stop
        for one in found:
            if one[1] & 0x20:  # its octets are passed over, but not read yet
                position = one[3]
                break
        source.furthest = max(source.furthest, position)
        if len(found) > source.budget:
            source.earn(len(found), position)
        source.budget -= len(found)
        return found

    def sequence(self) -> list[Element]:
        """The elements of a SEQUENCE."""
        if self.tag != der.SEQUENCE:
            self.expect(der.SEQUENCE)
        return self.children()

    def set_of(self) -> list[Element]:
        """The elements of a SET."""
        return self.expect(der.SET).children()

    def expect(self, tag: int) -> Element:
        """This element, if it has this tag."""
        if self.tag != tag:
            self.fail(f"tag {tag:#04x} expected, {self.tag:#04x} found")
        return self

    def value(self, tag: int) -> bytes:
        """The contents of a primitive with this tag."""
        self.expect(tag)
        return self.source.octets[self.inner : self.outer]

    def oid(self) -> bytes:
        """The content octets of an OBJECT IDENTIFIER: a key for tables."""
        if self.tag != 0x06:
            self.expect(0x06)
        return self.source.octets[self.inner : self.outer]

    def integer(self) -> int:
        """An INTEGER; what has more than 64 octets is nobody's serial number."""
        octets = self.value(0x02)
        if not 0 < len(octets) <= 64:
            self.fail("an INTEGER of unreasonable length")
        return int.from_bytes(octets, "big", signed=True)

    def octets(self) -> bytes:
        """The value of an OCTET STRING, one piece or many, whatever its tag."""
        if not self.tag & 0x20:
            return self.source.octets[self.inner : self.outer]
        return b"".join(self.pieces())

    def octet_string(self) -> bytes:
        """The value of what must be an OCTET STRING, one piece or many (X.690 8.7)."""
        if self.tag & ~der.CONSTRUCTED != der.OCTET_STRING:
            self.fail(f"an OCTET STRING expected, tag {self.tag:#04x} found")
        return self.octets()

    def pieces(self) -> tuple[memoryview, ...]:
        """The value of an OCTET STRING (or of one under an IMPLICIT tag), without a copy.

        X.690 8.7.3: the pieces of a constructed string are OCTET STRINGs, possibly
        constructed themselves.
        """
        view = memoryview(self.source.octets)
        if not self.tag & der.CONSTRUCTED:
            return (view[self.inner : self.outer],)
        source, found, spent = self.source, [], 0
        pending, position, limit = [(self.outer, self.outer)], self.inner, self.outer
        while True:
            if position >= limit:
                position, limit = pending.pop()
                if not pending:
                    break
                continue
            tag, inner, outer = head(source.octets, position, limit)
            spent += 1
            if spent > source.budget:
                source.earn(spent, position)
            if tag == der.OCTET_STRING:
                found.append(view[inner:outer])
                position = outer
            elif tag == der.OCTET_STRING | der.CONSTRUCTED:
                stop = outer
                if outer == INDEFINITE:
                    outer = source.end(inner, limit)
                    stop = outer + 2
                pending.append((stop, limit))
                position, limit = inner, outer
                if len(pending) + self.depth > MAXIMUM_DEPTH:
                    _too_deep(position)
            else:
                raise Malformed(f"BER: tag {tag:#04x} inside an OCTET STRING at offset {position}")
        source.spend(spent, position)
        return tuple(found)

    def fail(self, why: str) -> NoReturn:
        """Raise Malformed, naming the place."""
        raise Malformed(f"BER: {why} at offset {self.start}")


def parse(octets: bytes) -> Element:
    """The first element; what follows it (line ends, padding) is not looked at."""
    source = Source(octets)
    tag, inner, outer = head(octets, 0, len(octets))
    if outer != INDEFINITE:
        return Element(source, tag, 0, inner, outer, outer, 0)
    outer = source.end(inner, len(octets))
    return Element(source, tag, 0, inner, outer, outer + 2, 0)


def canonical(element: Element) -> bytes:
    """The DER encoding of what a BER element says: lengths, pieces and SET OF order made right."""
    if not element.tag & der.CONSTRUCTED:
        return der.tlv(element.tag, element.source.octets[element.inner : element.outer])
    if element.tag == der.OCTET_STRING | der.CONSTRUCTED:
        return der.octet_string(element.octets())
    parts = [canonical(child) for child in element.children()]  # depth is bounded by `children`
    return der.tlv(element.tag, *(sorted(parts) if element.tag == der.SET else parts))


def dotted(contents: bytes) -> str:
    """The dotted form of an OBJECT IDENTIFIER's content octets, for people."""
    arcs, value = [], 0
    for octet in contents[:64]:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    if not arcs:
        return "empty OID"
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - first * 40, *arcs[1:])))


def head(octets: bytes, position: int, limit: int) -> tuple[int, int, int]:
    """Tag, first content octet and end of contents (or INDEFINITE) of the element here.

    Lengths in more octets than needed are accepted (X.690 8.1.3.5), eight at most.
    """
    inner = position + 2
    if inner > limit:
        raise Malformed(f"BER: cut short at offset {position}")
    tag, first = octets[position], octets[position + 1]
    if not _COMMON[tag]:
        why = "a tag number above 30" if tag else "an end of nothing"
        raise Malformed(f"BER: {why} at offset {position}")
    if first < 0x80:
        outer = inner + first
    elif first == 0x80:
        if not tag & der.CONSTRUCTED:
            raise Malformed(f"BER: a primitive of indefinite length at offset {position}")
        return tag, inner, INDEFINITE
    else:
        inner += first & 0x7F
        if first > 0x88 or inner > limit:
            raise Malformed(f"BER: an unreasonable length at offset {position}")
        outer = inner + int.from_bytes(octets[position + 2 : inner], "big")
    if outer > limit:
        _too_long(position)
    return tag, inner, outer


def _childless(element: Element) -> NoReturn:
    if not element.is_constructed:
        raise Malformed(f"BER: a primitive at offset {element.start} where a structure should be")
    _too_deep(element.start)


def _too_long(position: int) -> NoReturn:
    raise Malformed(f"BER: an element longer than what holds it at offset {position}")


def _too_deep(position: int) -> NoReturn:
    raise LimitExceeded(f"BER: nested more than {MAXIMUM_DEPTH} deep at offset {position}")
