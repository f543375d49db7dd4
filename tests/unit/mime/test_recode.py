"""A large entity becomes what a small one becomes, or a relay breaks its signature."""

from __future__ import annotations

import random
import tracemalloc

from gatepost.mail.content import CHUNK, Content, Octets, Rope, join
from gatepost.mime import canonical, recode, splice
from gatepost.mime.splice import Edit

KINDS = (
    b"Content-Type: multipart/mixed; boundary=a\r\n",
    b"Content-Type: multipart/mixed; boundary=ab\r\nContent-Transfer-Encoding: 8bit\r\n",
    b"Content-Type: multipart/signed; boundary=ab\r\n",
    b"Content-Type: message/rfc822\n",
    b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n",
    b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-unknown\r\n",
    b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n",
    b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n",
)
DELIMITERS = (b"\r\n--a", b"\r\n--ab", b"\n--a", b"\r\n--a--", b"\r\n--ab--")
BODIES = (b"text\r\n", b"line\n", b"\xe4", b"\0", b"\r", b"=41", b"QUJD" * 3, b"x" * 600, b"")
PARTS = tuple(one + b"\r\n" + kind + b"\r\n" for one in DELIMITERS[:3] for kind in KINDS)


def pieces(octets: bytes, size: int) -> Content:
    """The octets in chunks of this size."""
    return Rope(tuple(Octets(octets[at : at + size]) for at in range(0, len(octets), size)))


def test_the_same_is_made_however_strange() -> None:
    """Two forms of one mail by its size: nobody could tell what a signature covers."""
    chance = random.Random(8551)
    for _ in range(800):
        octets = chance.choice(KINDS) + b"\r\n" * chance.randrange(2)
        octets += b"".join(chance.choices((*PARTS, *DELIMITERS, *BODIES * 3), k=20))
        expected = canonical.convert(octets)
        made, obstacles = recode.convert(pieces(octets, chance.randrange(1, 90)))
        assert (join(made), obstacles) == (expected.octets, expected.obstacles)
        assert made.size == len(expected.octets)
        straight = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        assert join(recode.lines(pieces(octets, chance.randrange(1, 9)))) == straight


def test_a_long_text_is_encoded_as_it_passes() -> None:
    """A log file of a gigabyte would be held to be written as quoted-printable."""
    text = "Grüße aus Köln\n".encode() * (2 * recode.MAXIMUM_TEXT // 16)
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    content = pieces(head + text, CHUNK)
    tracemalloc.start()
    made, obstacles = recode.convert(content)
    size = sum(map(len, made.chunks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (size, obstacles) == (made.size, ())
    assert canonical.is_seven_bit(made)
    assert b"Content-Transfer-Encoding: base64\r\n" in next(iter(made.chunks()))
    assert peak < len(text) / 2


def test_edits() -> None:
    """What stands before, between and behind the edits stays."""

    def upper(chunks: object) -> list[bytes]:
        assert not isinstance(chunks, bytes)
        return [one.upper() for one in chunks]  # type: ignore[attr-defined]

    edits = [Edit(0, 0, lambda _: (b">",)), Edit(2, 4, upper), Edit(4, 6, lambda _: ())]
    for size in (1, 3, 10):
        made = splice.spliced(pieces(b"abcdefgh", size), edits)
        assert (join(made), made.size) == (b">abCDgh", 7)
        found = splice.ranges(pieces(b"abcdefgh", size), [(1, 1), (1, 3), (6, 9)])
        assert [b"".join(one) for one in found] == [b"", b"bc", b"gh"]
    whole = Octets(b"abc")
    assert splice.spliced(whole, []) is whole
