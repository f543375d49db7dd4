"""A CMS object too large to hold: a frame in memory, the content where it is (RFC 5652).

The frame is the object without the octets of its content, so the readers of small objects
read it as it stands; the content is found anew, piece by piece, whenever it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gatepost.cms import ber, content, der
from gatepost.cms.ber import END_OF_CONTENTS, INDEFINITE
from gatepost.errors import LimitExceeded, Malformed, Unsupported
from gatepost.mail.content import CHUNK, Content, Slice

MAXIMUM_FRAME = 8 * 1024 * 1024  # 10,000 recipients take 5.5 MiB
_ENVELOPED = frozenset({content.ENVELOPED_DATA, content.AUTHENVELOPED_DATA})
_ENCAPSULATING = frozenset({content.SIGNED_DATA, content.COMPRESSED_DATA})
_PREFIX = 64  # octets in which the content type stands
_ENDLESS = 1 << 62  # the size of the whole would cost a pass; where it stops is seen at its end


class Bulk:
    """A ContentInfo whose octets are read from a content, as often as needed."""

    __slots__ = ("_parts", "octets")

    def __init__(self, octets: Content) -> None:
        self.octets = octets
        self._parts: tuple[bytes, Content | None] | None = None

    def __len__(self) -> int:
        """Octets of the whole object."""
        return self.octets.size

    @property
    def kind(self) -> str:
        """The name of the content type; nothing but that is looked at.  Raises Malformed."""
        reader = _Reader(Slice(self.octets, 0, _PREFIX))
        tag, _ = reader.head(_ENDLESS)
        kind, size = reader.head(_PREFIX)
        if (tag, kind) != (der.SEQUENCE, 0x06):
            raise Malformed("not a CMS ContentInfo: a type and a content are expected")
        return content.name(reader.take(size))

    @property
    def parts(self) -> tuple[bytes, Content | None]:
        """The frame and the content; raises Malformed, Unsupported or LimitExceeded."""
        if self._parts is None:
            self._parts = _Framer(self.octets).run()
        return self._parts


def taken(octets: bytes | Bulk) -> tuple[bytes, Content | None]:
    """The octets to parse, and the content if it stands apart from them."""
    return octets.parts if isinstance(octets, Bulk) else (octets, None)


class _Level(NamedTuple):
    """A constructed element that is being read."""

    limit: int  # where it ends; if its length is indefinite, where it must have ended
    is_indefinite: bool


class _Reader:
    """BER heads and octets, one after the other."""

    def __init__(self, octets: Content) -> None:
        self.position = 0
        self._chunks = octets.chunks()
        self.raw = b""  # the head read last
        self._chunk = b""
        self._at = 0
        self._budget = ber.Source(b"")
        self._count = 0

    def peek(self, count: int) -> bytes:
        """The next octets, fewer at the end."""
        while len(self._chunk) - self._at < count:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._chunk, self._at = self._chunk[self._at :] + chunk, 0
        return self._chunk[self._at : self._at + count]

    def head(self, limit: int) -> tuple[int, int]:
        """Tag and size (or INDEFINITE) of the element here, which has to end before the limit."""
        self._count += 1
        if self._count == 256:
            self._budget.spend(self._count, self.position)
            self._count = 0
        start = self.peek(10)
        try:
            tag, inner, outer = ber.head(start, 0, limit - self.position)
        except (Malformed, IndexError) as error:
            why = "BER: cut short" if len(start) < 2 else error
            raise Malformed(f"{why} from {self.position} on") from None
        if inner > len(start):
            raise Malformed(f"BER: cut short at offset {self.position}")
        self.raw = start[:inner]
        self._at += inner
        self.position += inner
        return tag, INDEFINITE if outer == INDEFINITE else outer - inner

    def ends(self, level: _Level) -> bool:
        """Whether nothing more comes in this level; what marks its end is passed over."""
        if not level.is_indefinite:
            return self.position >= level.limit
        if self.position + 2 > level.limit or self.peek(2) != END_OF_CONTENTS:
            return False
        self._at += 2
        self.position += 2
        return True

    def passing(self, count: int) -> Iterator[bytes]:
        """So many octets."""
        self.position += count
        while count:
            part = self._chunk[self._at : self._at + count]
            self._at += len(part)
            count -= len(part)
            if part:
                yield part
            else:
                chunk = next(self._chunks, None)
                if chunk is None:
                    raise Malformed(f"BER: cut short at offset {self.position - count}")
                self._chunk, self._at = chunk, 0

    def skip(self, count: int) -> None:
        """Pass over so many octets."""
        for _ in self.passing(count):
            pass

    def take(self, count: int) -> bytes:
        """So many octets as one."""
        return b"".join(self.passing(count))

    def strings(self, level: _Level, depth: int) -> Iterator[int]:
        """The size of each piece of a constructed OCTET STRING, to be passed by the caller."""
        levels = [level]
        while levels:
            if self.ends(levels[-1]):
                levels.pop()
                continue
            tag, size = self.head(levels[-1].limit)
            if tag == der.OCTET_STRING:
                yield size
            elif tag == der.OCTET_STRING | der.CONSTRUCTED:
                levels.append(self.level(size, levels[-1]))
                if len(levels) + depth > ber.MAXIMUM_DEPTH:
                    raise LimitExceeded(f"BER: nested more than {ber.MAXIMUM_DEPTH} deep")
            else:
                raise Malformed(f"BER: tag {tag:#04x} inside an OCTET STRING at {self.position}")

    def level(self, size: int, parent: _Level) -> _Level:
        """The level of an element whose head has just been read."""
        if size == INDEFINITE:
            return _Level(parent.limit, is_indefinite=True)
        return _Level(self.position + size, is_indefinite=False)


class Strung:
    """An OCTET STRING in many pieces (X.690 8.7.3); which they are is not kept."""

    __slots__ = ("_depth", "_level", "_octets", "size")

    def __init__(self, octets: Content, level: _Level, depth: int, size: int) -> None:
        self.size = size
        self._octets = octets
        self._level = level
        self._depth = depth

    def chunks(self) -> Iterator[bytes]:
        """Yield the pieces, small ones joined."""
        reader, held, size = _Reader(self._octets), [], 0
        for count in reader.strings(self._level, self._depth):
            for part in reader.passing(count):
                held.append(part)
                size += len(part)
                if size >= CHUNK:
                    yield b"".join(held)
                    held, size = [], 0
        if held:
            yield b"".join(held)


class _Framer:
    """One pass over the object: what is kept of it, and where its content stands."""

    def __init__(self, octets: Content) -> None:
        self.octets = octets
        self.reader = _Reader(octets)
        self.kept: list[bytes] = []
        self.room = MAXIMUM_FRAME
        self.inside: Content | None = None

    def run(self) -> tuple[bytes, Content | None]:
        whole = _Level(_ENDLESS, is_indefinite=False)
        info = self.enter(der.SEQUENCE, whole)
        kind = self.identifier(info)
        explicit = self.enter(0xA0, info)
        body = self.enter(der.SEQUENCE, explicit)
        if kind in _ENVELOPED:
            self.enveloped(body)
        elif kind in _ENCAPSULATING:
            self.encapsulating(body)
        else:
            raise Unsupported(f"{content.name(kind)} of this size is not supported")
        for level in (body, explicit, info):
            self.leave(level)
        return b"".join(self.kept), self.inside

    def enveloped(self, body: _Level) -> None:
        """RFC 5652 6.1, RFC 5083 2.1: version, originatorInfo OPTIONAL, recipients, content."""
        self.copy(body)
        if self.tag(body) == 0xA0:
            self.copy(body)
        self.copy(body)
        info = self.enter(der.SEQUENCE, body)
        self.copy(info)
        self.copy(info)
        if self.tag(info) & ~der.CONSTRUCTED != 0x80:
            raise Malformed("no encrypted content")
        self.content(info, depth=4, strings=0xA0)
        self.leave(info)

    def encapsulating(self, body: _Level) -> None:
        """RFC 5652 5.1, RFC 3274 1.1: version, algorithms, content, all else."""
        self.copy(body)
        self.copy(body)
        info = self.enter(der.SEQUENCE, body)
        self.copy(info)
        if self.tag(info) == 0xA0:
            explicit = self.enter(0xA0, info)
            self.content(explicit, depth=5, strings=der.OCTET_STRING | der.CONSTRUCTED)
            self.leave(explicit)
        self.leave(info)

    def content(self, parent: _Level, depth: int, strings: int) -> None:
        """Keep an empty element where the content stands; `strings` tags one in pieces."""
        tag, size = self.reader.head(parent.limit)
        self.keep(bytes((tag, 0)))
        start, level = self.reader.position, self.reader.level(size, parent)
        if tag == strings:
            found = 0
            for count in self.reader.strings(level, depth):
                found += count
                self.reader.skip(count)
            rest = Slice(self.octets, start, _ENDLESS)
            here = _Level(level.limit - start, level.is_indefinite)
            self.inside = Strung(rest, here, depth, found)
            return
        if size == INDEFINITE:
            self.reach_end(level, copies=False)
        else:
            self.reader.skip(size)
        stop = self.reader.position - (2 if size == INDEFINITE else 0)
        self.inside = Slice(self.octets, start, stop)

    def tag(self, parent: _Level) -> int:
        """The tag of what comes next in this element; 0 at its end."""
        if not parent.is_indefinite and self.reader.position >= parent.limit:
            return 0
        return (self.reader.peek(1) or b"\0")[0]

    def keep(self, octets: bytes) -> None:
        self.room -= len(octets)
        if self.room < 0:
            raise LimitExceeded(f"BER: more than {MAXIMUM_FRAME} octets beside the content")
        self.kept.append(octets)

    def enter(self, tag: int, parent: _Level) -> _Level:
        """Begin an element whose inside is looked at; its length may change, so is indefinite."""
        found, size = self.reader.head(parent.limit)
        if found != tag:
            raise Malformed(f"BER: tag {tag:#04x} expected, {found:#04x} found")
        self.keep(bytes((tag, 0x80)))
        return self.reader.level(size, parent)

    def leave(self, level: _Level) -> None:
        """Keep what is left of an element, and end it."""
        while not self.reader.ends(level):
            self.element(level, copies=True)
        self.keep(END_OF_CONTENTS)

    def identifier(self, parent: _Level) -> bytes:
        """Keep an OBJECT IDENTIFIER; gives its content octets."""
        if self.tag(parent) != 0x06:
            raise Malformed("not a CMS ContentInfo: a type and a content are expected")
        place = len(self.kept)
        self.element(parent, copies=True)
        return ber.parse(b"".join(self.kept[place:])).oid()

    def copy(self, parent: _Level) -> None:
        """Keep one element, which must be there."""
        if self.reader.ends(parent):
            raise Malformed(f"BER: an element is missing at offset {self.reader.position}")
        self.element(parent, copies=True)

    def element(self, parent: _Level, *, copies: bool) -> None:
        """Keep one element as it stands, or pass over it."""
        level = self.piece(parent, copies=copies)
        if level is not None:
            self.reach_end(level, copies=copies)

    def reach_end(self, level: _Level, *, copies: bool) -> None:
        """Go to the end of an element of indefinite length."""
        levels = [level]
        while levels:
            if self.reader.ends(levels[-1]):
                levels.pop()
                if copies:
                    self.keep(END_OF_CONTENTS)
            elif (inner := self.piece(levels[-1], copies=copies)) is not None:
                levels.append(inner)
                if len(levels) > ber.MAXIMUM_DEPTH:
                    raise LimitExceeded(f"BER: nested more than {ber.MAXIMUM_DEPTH} deep")

    def piece(self, parent: _Level, *, copies: bool) -> _Level | None:
        """Pass one element of definite length, or only the head of one of indefinite length."""
        _, size = self.reader.head(parent.limit)
        if copies:
            self.keep(self.reader.raw)
        if size == INDEFINITE:
            return self.reader.level(size, parent)
        if not copies:
            self.reader.skip(size)
        elif size <= self.room:
            self.keep(self.reader.take(size))
        else:
            raise LimitExceeded(f"BER: more than {MAXIMUM_FRAME} octets beside the content")
        return None
