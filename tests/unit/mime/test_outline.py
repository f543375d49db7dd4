"""Large mail is cut into parts where small mail is, or its signature covers other octets."""

from __future__ import annotations

import random

import pytest

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content, Octets, Rope
from gatepost.mime import entity
from gatepost.mime.entity import Entity
from gatepost.mime.outline import MAXIMUM_BLANKS, Part, outline

KINDS = (
    b"Content-Type: multipart/mixed; boundary=a\r\n",
    b"Content-Type: multipart/mixed; boundary=ab\r\n",
    b'Content-Type: multipart/digest; boundary="x:y"\r\n',
    b"Content-Type: message/rfc822\n",
    b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n",
)
DELIMITERS = (b"--a", b"--ab", b"--x:y", b"--a--", b"--ab--", b"--x:y--")
BREAKS = (b"\r\n", b"\n", b"\r")
BITS = (b" ", b"--", b"x", b"-", b"text\r\n", b"A: b\r\n", b"\r\n", b"\n")
ATOMS = (
    *(KINDS + DELIMITERS + BREAKS + BITS),
    *(b"\r\n" + one for one in DELIMITERS * 4),
    *(
        one + end + kind + empty
        for one in DELIMITERS[:3]
        for end in BREAKS[:2]
        for kind in KINDS
        for empty in (b"\r\n", b"\n", b"")
    ),
)


def pieces(octets: bytes, size: int) -> Content:
    """The octets in chunks of this size."""
    return Rope(tuple(Octets(octets[at : at + size]) for at in range(0, len(octets), size)))


def shape(one: Entity | Part) -> tuple[object, ...]:
    """What both kinds of tree say of an entity."""
    place = (one.start, one.stop, one.body_start, one.close)
    return (*place, one.header, one.content_type, one.encoding, tuple(map(shape, one.children)))


def same(octets: bytes, size: int, *, descend: bool = True) -> None:
    """Both readers find the same."""
    expected = shape(entity.parse(octets, descend=descend))
    assert shape(outline(pieces(octets, size), descend=descend)) == expected


def test_the_same_parts_are_found_however_strange() -> None:
    """Whoever sees other parts than we do reads what nobody has signed."""
    chance = random.Random(2046)
    for _ in range(1500):
        octets = chance.choice(KINDS) + b"\r\n" * chance.randrange(2)
        octets += b"".join(chance.choices(ATOMS, k=chance.randrange(40)))
        same(octets, chance.randrange(1, 60), descend=chance.random() < 0.5)


def test_a_long_header_and_body_are_read_in_pieces() -> None:
    """The header of a part may be longer than what is held at once."""
    part = b"--a\r\nX: " + b"y" * 70_000 + b"\r\nContent-Type: text/html\r\n\r\n" + b"z" * 90_000
    octets = KINDS[0] + b"\r\n" + part + b"\r\n" + part + b"\r\n--a--\r\n"
    same(octets, 4096)
    assert [one.content_type.subtype for one in outline(Octets(octets)).children] == ["html"] * 2


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (KINDS[0] + b"\r\n" + b"--a\r\n\r\n" * 10_001, "parts"),
        (KINDS[0] + b"\r\n" + b"--a" + b" " * MAXIMUM_BLANKS + b"\r\n\r\n", "blanks"),
        (KINDS[0] + b"\r\n" + b"--abc\r\n" * 100_002, "delimiters"),
        (b"Content-Type: message/rfc822\r\n\r\n" * 60, "deep"),
        (b"X: " + b"y" * (entity.MAXIMUM_HEADER + 10) + b"\r\n\r\n", "header"),
    ],
)
def test_what_multiplies_is_limited(octets: bytes, why: str) -> None:
    """A stranger's mail keeps a worker busy for minutes."""
    with pytest.raises(LimitExceeded, match=why):
        outline(pieces(octets, 65536))
