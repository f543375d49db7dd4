"""Entities: the octets of a part are exactly those between its delimiters."""

import pytest

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Octets, Rope, join
from gatepost.mime import split_header
from gatepost.mime.entity import (
    MAXIMUM_DELIMITERS,
    MAXIMUM_DEPTH,
    MAXIMUM_HEADER,
    MAXIMUM_PARTS,
    decoded,
    parse,
    parts,
    split,
    walk,
)

TOP = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'


def bodies(octets: bytes) -> list[bytes]:
    return [part.raw for part in parse(octets).children]


@pytest.mark.parametrize(
    ("body", "expected", "epilogue"),
    [
        (b"--b\r\n\r\nx\r\n--b--\r\n", [b"\r\nx"], b""),
        (b"pre\r\n--b\r\n\r\nx\r\n--b--\r\nepi\r\n", [b"\r\nx"], b"epi\r\n"),
        (b"--b\r\n\r\nx\r\n\r\n--b--", [b"\r\nx\r\n"], b""),
        (b"--b \t \r\n\r\nx\r\n--b-- \t\r\n", [b"\r\nx"], b""),
        (b"--b\n\nx\n--b--\n", [b"\nx"], b""),
        (b"--b\r\n--b\r\n\r\n--b--\r\n", [b"", b""], b""),
        (b"--b\r\n\r\n\r\n--b--\r\n", [b"\r\n"], b""),
        (b"--b\r\n\r\nx\r\n--bb\r\n--b-\r\n --b\r\nx--b\r\n--b--x\r\n--b--\r\n", [b"\r\nx\r\n--bb\r\n--b-\r\n --b\r\nx--b\r\n--b--x"], b""),
        (b"--b\r\n\r\nunclosed\r\n", [b"\r\nunclosed\r\n"], None),
        (b"--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\ny\r\n--b--\r\n", [b"\r\nx"], b"--b\r\n\r\ny\r\n--b--\r\n"),
        (b"--b--\r\n", [], b""),
        (b"no delimiter\r\n", [], None),
        (b"--b", [b""], None),
        (b"", [], None),
        (b"--b\r\n\r\nbare cr\r--b\r\n--b--", [b"\r\nbare cr\r--b"], b""),
    ],
)  # fmt: skip
def test_parts_lie_between_delimiters(
    body: bytes, expected: list[bytes], epilogue: bytes | None
) -> None:
    """RFC 2046 section 5.1.1: one octet too many and every signature is invalid."""
    entity = parse(TOP + body)
    assert [part.raw for part in entity.children] == expected
    assert (None if entity.close is None else entity.octets[entity.close :]) == epilogue
    assert parts(entity) == entity.children


def test_nested_boundaries_may_be_prefixes() -> None:
    """The inner parts of a mail made by Apple Mail become parts of the outer."""
    octets = (
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n"
        b"--a\r\nContent-Type: multipart/mixed; boundary=aa\r\n\r\n"
        b"--aa\r\n\r\n1\r\n--aa\r\n\r\n2\r\n--aa--\r\n"
        b"--a\r\n\r\n3\r\n--a--\r\n"
    )
    first, second = parse(octets).children
    assert [part.body for part in first.children] == [b"1", b"2"]
    assert second.body == b"3"
    swapped = octets.replace(b"=aa", b"=X").replace(b"--aa", b"--X").replace(b"=a", b"=XX").replace(b"--a", b"--XX")  # fmt: skip
    first, second = parse(swapped).children
    assert [part.body for part in first.children] == [b"1", b"2"]


def test_an_outer_delimiter_ends_an_unclosed_inner() -> None:
    """RFC 2046 section 5.1.2: a truncated part swallows the parts after it."""
    octets = TOP + (
        b"--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\n1\r\n"
        b"--b\r\n\r\n2\r\n--b--\r\n"
    )
    first, second = parse(octets).children
    assert [part.body for part in first.children] == [b"1"]
    assert second.body == b"2"


def test_a_quoted_boundary_keeps_its_inner_blanks() -> None:
    """A boundary with a blank in it is cut at the blank."""
    octets = b'Content-Type: multipart/mixed; boundary="x y "\r\n\r\n--x y\r\n\r\n1\r\n--x y--\r\n'
    assert bodies(octets) == [b"\r\n1"]


def test_embedded_messages_are_entered_when_asked() -> None:
    """A forwarded signed message is not found."""
    inner = b"Subject: inner\r\n" + TOP + b"--b\r\n\r\nx\r\n--b--"
    outer = b"Content-Type: message/rfc822\r\n\r\n" + inner
    (message,) = parse(outer).children
    assert message.raw == inner
    assert len(message.children) == 1
    assert parse(outer, descend=False).children == ()
    assert parts(parse(outer)) == ()
    encoded = b"Content-Transfer-Encoding: base64\r\n" + outer
    assert parse(encoded).children == ()


def test_digest_parts_are_messages() -> None:
    """RFC 2046 section 5.1.5."""
    octets = TOP.replace(b"mixed", b"digest") + b"--b\r\n\r\nSubject: x\r\n\r\ny\r\n--b--\r\n"
    message = list(walk(parse(octets)))[2]
    assert message.header == b"Subject: x\r\n"
    assert message.body == b"y"


@pytest.mark.parametrize(
    ("content", "header", "body"),
    [
        (b"A: b\r\n\r\nx", b"A: b\r\n", b"x"),
        (b"A: b\r\n c\r\n\r\n\r\nx", b"A: b\r\n c\r\n", b"\r\nx"),
        (b"A: b\n\nx", b"A: b\n", b"x"),
        (b"\r\nx", b"", b"x"),
        (b"A: b\r\n", b"A: b\r\n", b""),
        (b"A: b", b"A: b\r\n", b""),
        (b"", b"", b""),
        (b"no field\r\n\r\nx", b"", b"no field\r\n\r\nx"),
        (b"A: b\r\nno field\r\n\r\nx", b"A: b\r\n", b"no field\r\n\r\nx"),
        (b"A: b\r\n \r\nB: c\r\n\r\nx", b"A: b\r\n \r\nB: c\r\n", b"x"),
        (b"From a@b Mon\r\nA: b\r\n\r\nx", b"From a@b Mon\r\nA: b\r\n", b"x"),
    ],
)
def test_split_header(content: bytes, header: bytes, body: bytes) -> None:
    """Text that stands in no field is left outside the encryption."""
    assert split_header(content) == (header, body)
    for whole in (Octets(content), Rope(tuple(Octets(bytes([one])) for one in content))):
        found, rest = split(whole)
        assert (found, join(rest)) == (header, body)


def test_decoded() -> None:
    """An S/MIME body with Outlook's odd base64 cannot be read."""
    assert decoded(parse(b"Content-Transfer-Encoding: base64\r\n\r\naGFs bG8\r\n")) == b"hallo"
    assert decoded(parse(b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\r\nb=3D ")) == b"ab="  # fmt: skip
    assert decoded(parse(b"Content-Transfer-Encoding: 8BIT\r\n\r\n\xff")) == b"\xff"
    assert decoded(parse(b"Content-Transfer-Encoding: x-new\r\n\r\n=41")) == b"=41"


def test_limits() -> None:
    """One mail of a few megabytes stops every other mail."""
    nest = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(MAXIMUM_DEPTH + 1))  # fmt: skip
    for hostile in (
        nest,
        TOP + b"--b\r\n" * (MAXIMUM_PARTS + 2),
        b"Content-Type: message/rfc822\r\n\r\n" * (MAXIMUM_DEPTH + 1),
        TOP + b"--bx\r\n" * (MAXIMUM_DELIMITERS + 2),
        b"A: " + b"x" * MAXIMUM_HEADER,
        b"a:\r\n" * MAXIMUM_HEADER,
    ):
        with pytest.raises(LimitExceeded):
            parse(hostile)


def test_a_repr_shows_no_content() -> None:
    """A mail's text reaches the log through an exception."""
    assert "secret" not in repr(parse(b"Subject: secret\r\n\r\nsecret"))
