"""The 7-bit form of an entity too large to hold (RFC 8551 section 3.1), made as it is read.

As `canonical.convert`, with one difference: a long text is encoded as base64, for
quoted-printable is written from text at hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from gatepost.mail.content import Content
from gatepost.mail.field import first, replaced
from gatepost.mime import splice
from gatepost.mime.canonical import (
    FIELD,
    IDENTITY,
    KNOWN,
    WIDE,
    SevenBit,
    are_seven_bit,
    crlf,
    crlf_chunks,
)
from gatepost.mime.outline import Part, outline
from gatepost.mime.splice import Edit
from gatepost.mime.transfer import decoded_chunks, encode_quoted_printable, encoded_base64

MAXIMUM_TEXT = 1024 * 1024  # octets of a text that becomes quoted-printable


def convert(content: Content) -> tuple[Content, tuple[str, ...]]:
    """The entity with every leaf in 7 bits, and what could not be made so, and why."""
    root = outline(content)
    writer = _Writer(root.stop, dict(_scans(content, list(_spans(root)))))
    writer.entity(root)
    return splice.spliced(content, writer.edits), tuple(writer.obstacles)


def lines(content: Content) -> Content:
    """The content with CRLF for whatever ends a line, a bare CR too."""
    return splice.spliced(content, [Edit(0, content.size, _lines)])


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for chunk in chunks:
        octets = held + chunk
        held = b"\r" if octets.endswith(b"\r") else b""
        octets = octets[: len(octets) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        yield octets.replace(b"\n", b"\r\n")
    if held:
        yield b"\r\n"


class _Scan:
    """What a stretch of octets is like."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.has_nul = False
        as_is, straight = SevenBit(), SevenBit()
        for chunk in crlf_chunks(self.passing(chunks, as_is)):
            straight.feed(chunk)
        self.is_clean = as_is.is_clean
        self.is_straight = straight.is_clean  # clean once its lines end CRLF

    def passing(self, chunks: Iterable[bytes], as_is: SevenBit) -> Iterator[bytes]:
        for chunk in chunks:
            self.has_nul = self.has_nul or b"\0" in chunk
            as_is.feed(chunk)
            yield chunk


Span = tuple[int, int]


def _scans(content: Content, spans: list[Span]) -> Iterator[tuple[Span, _Scan]]:
    for span, octets in zip(spans, splice.ranges(content, spans), strict=True):
        yield span, _Scan(octets)


def _untouchable(part: Part) -> str:
    """Why the part must stay as it is; empty: it need not."""
    kind = part.content_type
    if kind.essence == "multipart/signed":
        return "a signed part has octets that are not 7bit data"
    if not part.children and kind.type in {"multipart", "message"}:
        return f"a {kind.essence} must not be encoded"
    return ""


def _spans(part: Part) -> Iterator[Span]:
    """What has to be looked at, in order: parts that stay, bodies, and what stands between."""
    if _untouchable(part):
        yield part.start, part.stop
        return
    position = part.body_start
    for child in part.children:
        yield position, child.start
        yield from _spans(child)
        position = child.stop
    yield position, part.stop


class _Writer:
    """Collects the edits; the rules are those of `canonical`, by which small entities go."""

    def __init__(self, size: int, scans: dict[Span, _Scan]) -> None:
        self.size = size
        self.scans = scans
        self.edits: list[Edit] = []
        self.obstacles: list[str] = []

    def entity(self, part: Part) -> bool:
        """Edit one entity; whether it has got a header that had none."""
        if why := _untouchable(part):
            if not self.scans[part.start, part.stop].is_clean:
                self.obstacles.append(why)
            return False
        return self.container(part) if part.children else self.leaf(part)

    def container(self, part: Part) -> bool:
        before, place = len(self.obstacles), len(self.edits)
        position, grown = part.body_start, False
        for child in part.children:
            self.between(position, child.start)
            has_grown = self.entity(child)
            grown = grown or (has_grown and child is part.children[0])
            position = child.stop
        self.between(position, part.stop)
        narrow = part.encoding in WIDE and len(self.obstacles) == before
        # a message without fields got one: it must not join those of the part that holds it
        return self.header(part, "7bit" if narrow else None, place, apart=grown)

    def between(self, start: int, stop: int) -> None:
        found = self.scans[start, stop]
        if not found.is_clean:
            self.edits.append(Edit(start, stop, crlf_chunks))
        if not found.is_straight:
            self.obstacles.append("there are octets outside all parts that are not 7bit data")

    def leaf(self, part: Part) -> bool:
        found, coding = self.scans[part.body_start, part.stop], part.encoding
        is_text = part.content_type.type == "text" and not found.has_nul
        has_lines = is_text or coding not in IDENTITY
        place = len(self.edits)
        new = "7bit" if coding in WIDE else None
        if found.is_clean:
            pass
        elif (has_lines and found.is_straight) or coding not in KNOWN:
            if not found.is_straight:
                self.obstacles.append(f"a part is encoded as {coding!r}, which is not known")
                new = None
            self.edits.append(Edit(part.body_start, part.stop, crlf_chunks))
        else:
            new = self.recoded(part, has_lines=has_lines, is_text=is_text)
        return self.header(part, new, place)

    def recoded(self, part: Part, *, has_lines: bool, is_text: bool) -> str:
        """Encode a leaf anew; gives how."""
        coding, size = part.encoding, part.stop - part.body_start
        is_last = part.stop == self.size
        quoted = coding == "quoted-printable" or (is_text and coding != "base64")
        change = _quoted if quoted and size <= MAXIMUM_TEXT else partial(_coded, is_last=is_last)

        def edit(chunks: Iterable[bytes]) -> Iterable[bytes]:
            straight = crlf_chunks(chunks) if has_lines else chunks
            return change(decoded_chunks(straight, coding))

        self.edits.append(Edit(part.body_start, part.stop, edit))
        return "quoted-printable" if change is _quoted else "base64"

    def header(self, part: Part, coding: str | None, place: int, *, apart: bool = False) -> bool:
        """Edit the header and the empty line where they change; whether there is one now."""
        header = crlf(part.header)
        gap = b"\r\n" if part.body_start > part.start + len(part.header) else b""
        if coding is not None and not (coding == part.encoding and first(header, FIELD)):
            header, apart = replaced(header, FIELD, coding), True
        if not are_seven_bit([header]):
            self.obstacles.append("a header field is not ASCII")
        made = header + (gap or (b"\r\n" if apart else b""))
        self.edits.insert(place, Edit(part.start, part.body_start, lambda _: (made,)))
        return not part.header and bool(made)


def _quoted(plain: Iterable[bytes]) -> Iterable[bytes]:
    return (encode_quoted_printable(b"".join(plain)),)


def _coded(plain: Iterable[bytes], *, is_last: bool) -> Iterator[bytes]:
    """Base64; the line break before a delimiter is the delimiter's own."""
    held = b""
    for piece in encoded_base64(plain):
        yield held + piece[:-2]
        held = piece[-2:]
    yield held if is_last else b""
