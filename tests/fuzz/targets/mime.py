"""The MIME slicer: parts, transfer encodings, the 7-bit form.

Invariant: a tree whose slices put together are the input, or LimitExceeded; the 7-bit form
is one, has the same leaves and stays as it is when made again.  What is read while it passes,
in pieces of any size, is read as at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress

from tests.unit.mime.test_outline import pieces, shape

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content, Octets, join
from gatepost.mime import boundary, canonical, compose, recode, transfer
from gatepost.mime.content_type import ContentType, disposition, filename
from gatepost.mime.entity import Entity, decoded, parse, parts, split_header, walk
from gatepost.mime.outline import MAXIMUM_BLANKS, outline

BLANKS = re.compile(rb"[ \t]{%d}" % (MAXIMUM_BLANKS // 2))
WORDS = (
    *(b"\r\n", b"\n", b"\r", b"--b", b"--b--", b"\r\n--b\r\n", b"\r\n--b--\r\n", b"\r\n\r\n"),
    *(b"Content-Type: ", b"multipart/mixed; boundary=b", b"multipart/signed; boundary=b"),
    *(
        b"message/rfc822",
        b"text/plain; charset=utf-8",
        b"application/pdf",
        b"From a b\n",
        b">From ",
    ),
    *(b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"8bit", b"binary", b"=\r\n"),
)


def target(octets: bytes) -> None:
    """One message or entity."""
    header, body = split_header(octets)
    assert octets.startswith(header.removesuffix(b"\r\n"))
    assert octets.endswith(body)
    passing = pieces(octets, len(octets) // 200 + len(octets) % 97 + 1)
    with suppress(LimitExceeded):
        root = parse(octets)
        assert sliced(root) == octets
        for one in walk(root):
            leaf(one)
        if not BLANKS.search(octets):  # more than these are refused only while they pass
            assert shape(outline(passing)) == shape(root)
    with suppress(LimitExceeded):
        seven_bit(octets, passing)
    encodings(octets, passing)


def sliced(one: Entity) -> bytes:
    """The octets of an entity, from the slices of its leaves and what stands between them."""
    assert one.start <= one.body_start <= one.stop <= len(one.octets)
    assert one.octets.startswith(one.header, one.start)
    pieces, position = [], one.start
    for child in one.children:
        assert child.start >= position
        pieces += [one.octets[position : child.start], sliced(child)]
        position = child.stop
    assert position <= one.stop
    made = b"".join((*pieces, one.octets[position : one.stop]))
    assert made == one.raw
    return made


def leaf(one: Entity) -> None:
    """What an entity says of itself."""
    filename(one.header)
    disposition(one.header)
    decoded(one)
    assert len(parts(one)) in (0, len(one.children))


def seven_bit(octets: bytes, passing: Content) -> None:
    """RFC 8551 section 3.1.3: what a relay need not touch, the same for small and large mail."""
    made = canonical.convert(octets)
    if not BLANKS.search(octets):
        large, obstacles = recode.convert(passing)
        assert (join(large), obstacles) == (made.octets, made.obstacles)
        assert large.size == len(made.octets)
    assert made.obstacles or canonical.is_seven_bit(Octets(made.octets))
    again = canonical.convert(made.octets)
    assert again.octets == made.octets
    if not made.obstacles:
        before, after = parse(octets), parse(made.octets)
        assert [one.content_type for one in walk(before)] == [
            one.content_type for one in walk(after)
        ]


def encodings(octets: bytes, passing: Content) -> None:
    """Writers and readers agree."""
    assert transfer.decode_base64(transfer.encode_base64(octets)) == octets
    quoted = transfer.encode_quoted_printable(octets)
    assert transfer.decode_quoted_printable(quoted) == octets
    assert canonical.is_seven_bit(Octets(quoted))
    for coding in ("base64", "quoted-printable", "8bit"):
        assert join(transfer.decoded(passing, coding)) == transfer.decode(octets, coding)
    canonical.crlf(octets)


def seeds() -> Iterator[bytes]:
    """Messages our own writers make, and some that strangers send."""
    text = (
        b"Content-Type: text/plain; charset=utf-8\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n.\r\nFrom here\r\n"
    )
    file = join(compose.entity(*compose.attachment(Octets(b"%PDF\0\xff"), ContentType("application", "pdf"), "a.pdf")))  # fmt: skip
    wide = text.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    note = join(compose.entity(*compose.text("Schöne Grüße", "html")))
    for subtype, several in (("mixed", (text, file)), ("signed", (wide, file)), ("alternative", (note, wide))):  # fmt: skip
        mark = boundary.boundary(lambda: "1")
        made = compose.multipart(subtype, [Octets(one) for one in several], mark, preamble=b"MIME")
        outer = b"From: a@b.example\r\nMIME-Version: 1.0\r\n" + join(compose.entity(*made))
        yield outer
        yield outer.replace(b"\r\n", b"\n")
        inner = b"Content-Type: message/rfc822\r\n\r\n" + outer
        yield join(compose.entity(*compose.multipart("mixed", [Octets(inner)], b"b")))
    yield b"From a b\n" + text
    yield b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\r\nx"
