"""Transfer encodings: what is encoded comes back, whoever decodes it."""

import base64
import binascii
import random

import pytest

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Octets, Rope, join
from gatepost.mime.transfer import (
    MAXIMUM_LINE,
    Base64,
    decode,
    decode_base64,
    decode_quoted_printable,
    decoded,
    encode_base64,
    encode_quoted_printable,
)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 58368, 58369, 200_000])
def test_streamed_base64_is_base64(size: int) -> None:
    """SIZE is announced wrong and the next hop cuts the connection."""
    data = bytes(number % 251 for number in range(size))
    chunks = tuple(Octets(data[start : start + 1000]) for start in range(0, size, 1000))
    expected = base64.encodebytes(data).replace(b"\n", b"\r\n")
    for content in (Octets(data), Rope(chunks)):
        encoded = Base64(content)
        assert join(encoded) == expected
        assert join(encoded) == expected  # and again
        assert encoded.size == len(expected)
    assert encode_base64(data) == expected


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [
        (b"aGFsbG8=", b"hallo"),
        (b"aGFsbG8", b"hallo"),
        (b"a GFs\r\n\tb-G_8!=", b"hallo"),
        (b"aGFsbG8=aGFsbG8=", b"hallo"),  # "=" ends the data
        (b"aGFsb", b"hal"),
        (b"a", b""),
        (b"=", b""),
        (b"", b""),
        (b"\xff\x00", b""),
    ],
)
def test_decode_base64_is_tolerant(encoded: bytes, expected: bytes) -> None:
    """A signature with a missing "=" counts as broken."""
    assert decode_base64(encoded) == expected


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        b"plain\r\n",
        "Grüße aus Köln\r\n".encode() * 5,
        b"From here\r\nFrom \r\nx From y\r\n",
        b"From " + b"x" * 64 + b"\r\nFrom " + b"x" * 65 + b"\r\nFrom " + b"x" * 200,
        b"x" * 71 + b"From " + b"y" * 200,
        b".\r\n..\r\n.\r\nx\r\n.",
        b"x" * 76 + b".\r\n" + b"y" * 75 + b".",
        b" \r\n\t\r\nx \r\ny\t\r\n ",
        b"x" * 74 + b"\t\r\n" + b"x" * 75 + b" \r\n" + b"x" * 74 + b" ",
        b"bare\rcr\nlf\r\n\r\r\n\n\r",
        bytes(range(256)) * 3 + b"\rFrom \r\n.\r\n",
        b"\r" * 1000,
        "=\x01\x02\x7f€".encode(),
        b"x" * 3000,
    ],
)
def test_quoted_printable_survives_every_relay(plain: bytes) -> None:
    """A relay strips a blank or adds ">" to a From line, and the signature is broken."""
    made = encode_quoted_printable(plain)
    assert binascii.a2b_qp(made) == plain
    assert decode_quoted_printable(made) == plain
    assert made.isascii()
    lines = made.split(b"\r\n")
    assert all(len(line) <= 76 for line in lines)
    assert not any(line.endswith((b" ", b"\t")) or line == b"." for line in lines)
    assert not any(line.startswith(b"From ") for line in lines)
    assert b"\r" not in made.replace(b"\r\n", b"")
    assert b"\n" not in made.replace(b"\r\n", b"")


def test_quoted_printable_makes_no_boundary() -> None:
    """A long line broken before its "--b" would end the part it stands in, and forge another."""
    for before in range(60, 90):
        for after in (b"", b"-", b"-" * 80, b"b\r\nContent-Type: text/html", b"x" * 71, b"x" * 72):
            for filler in (b"x", b"\xff"):
                plain = filler * before + b"--" + after
                made = encode_quoted_printable(plain)
                assert b"=\r\n--" not in made
                assert max(map(len, made.split(b"\r\n"))) <= 76
                assert decode_quoted_printable(made) == plain


def test_quoted_printable_ignores_transport_padding() -> None:
    """RFC 2045 section 6.7 rule 3: 'any trailing white space … must be deleted'."""
    assert decode_quoted_printable(b"a \t\r\nb= \r\nc  d") == b"a\r\nbc  d"


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "7bit"])
def test_decoding_in_pieces_is_decoding(encoding: str) -> None:
    """A large signed attachment is digested as other octets than were signed."""
    chance = random.Random(encoding)
    atoms = (b"A", b"b", b"xyz", b"=", b"==", b"=41", b"=3", b"=\r\n", b"=\n", b"= \n", b"\xff")
    for _ in range(2000):
        octets = b"".join(chance.choices((*atoms, b"\r\n", b"\n", b"\r", b" ", b"\t"), k=12))
        size = chance.randrange(1, 5)
        parts = (Octets(octets[at : at + size]) for at in range(0, len(octets), size))
        content = decoded(Rope(tuple(parts)), encoding)
        assert join(content) == decode(octets, encoding)
        assert content.size == len(decode(octets, encoding))


def test_a_line_without_end_is_not_held() -> None:
    """One line of 1 GiB fills the memory."""
    line = Octets(b"x" * MAXIMUM_LINE)
    assert decoded(line, "quoted-printable").size == line.size
    with pytest.raises(LimitExceeded, match="line"):
        join(decoded(Rope((line, Octets(b"x"))), "quoted-printable"))
