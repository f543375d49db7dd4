"""Canonical forms: a signature survives the relays, and nothing is changed without need."""

import pytest

from gatepost.mail.content import Octets, Rope
from gatepost.mime.canonical import convert, crlf, is_seven_bit, to_seven_bit
from gatepost.mime.entity import decoded, parse, walk

WIDE = "Grüße\r\n".encode()


def leaf(kind: str, body: bytes, coding: str = "") -> bytes:
    field = f"Content-Transfer-Encoding: {coding}\r\n" if coding else ""
    return f"Content-Type: {kind}\r\n{field}X-Other:  kept  as is \r\n\r\n".encode() + body


def multipart(*entities: bytes, subtype: str = "mixed", coding: str = "") -> bytes:
    field = f"Content-Transfer-Encoding: {coding}\r\n" if coding else ""
    header = f"Content-Type: multipart/{subtype}; boundary=b\r\n{field}\r\npreamble\r\n".encode()
    return header + b"".join(b"--b \r\n" + one + b"\r\n" for one in entities) + b"--b--\r\nepilogue\r\n"  # fmt: skip


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\nb\r\nc\n", b"a\r\nb\r\nc\r\n"),
        (b"\n\n", b"\r\n\r\n"),
        (b"a\rb\n", b"a\rb\r\n"),
        (b"a\r\r\n", b"a\r\r\n"),
        (b"", b""),
    ],
)
def test_crlf(octets: bytes, expected: bytes) -> None:
    """RFC 8551 section 3.1.1: a mail written on Unix verifies nowhere else."""
    assert crlf(octets) == expected


def test_canonical_octets_are_not_copied() -> None:
    """Twenty megabytes are copied at every step."""
    octets = b"a\r\n" * 10
    assert crlf(octets) is octets
    entity = leaf("text/plain", octets)
    assert to_seven_bit(entity) is entity


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", True),
        (b"a\r\nb", True),
        (b"a" * 998 + b"\r\n" + b"b" * 998, True),
        (b"a" * 999 + b"\r\n", False),
        (b"x\r\n" * 700 + b"a" * 999, False),
        (b"a\nb", False),
        (b"a\rb", False),
        (b"a\r", False),
        (b"a\r\r\n", False),
        (b"\x80", False),
        (b"\0", False),
    ],
)
def test_is_seven_bit(octets: bytes, expected: bool) -> None:
    """RFC 2045 section 2.7: a relay re-encodes what we thought it would leave alone."""
    assert is_seven_bit(Octets(octets)) is expected
    for size in (1, 2, 7, 500):
        pieces = tuple(Octets(octets[n : n + size]) for n in range(0, len(octets), size))
        assert is_seven_bit(Rope(pieces)) is expected


def test_only_the_wide_leaf_changes() -> None:
    """A neighbour's DKIM-signed or already signed octets change."""
    plain, wide = (
        leaf("text/plain", b"plain  \r\n"),
        leaf("text/plain; charset=utf-8", WIDE, "8bit"),
    )
    made = convert(multipart(plain, wide, coding="8bit"))
    changed = leaf("text/plain; charset=utf-8", b"Gr=C3=BC=C3=9Fe\r\n", "quoted-printable")
    assert made.octets == multipart(plain, changed, coding="7bit")
    assert made.obstacles == ()


def test_files_become_base64() -> None:
    """A PDF in quoted-printable is three times as large, or loses its line ends."""
    data = bytes(range(256)) * 20 + b"\n\r"
    made = to_seven_bit(multipart(leaf("application/pdf", data, "binary")))
    (part,) = parse(made).children
    assert part.encoding == "base64"
    assert decoded(part) == data
    assert not part.body.endswith(b"\r\n")
    assert max(map(len, made.split(b"\r\n"))) <= 76


@pytest.mark.parametrize(
    ("kind", "coding", "body", "expected_coding", "expected"),
    [
        ("text/plain", "", WIDE, "quoted-printable", WIDE),
        ("text/plain", "7bit", b"a\nb\n", "7bit", b"a\r\nb\r\n"),
        ("text/plain", "7bit", b"a\rb\r\n", "quoted-printable", b"a\rb\r\n"),
        ("text/plain", "", b"x" * 999 + b"\r\n", "quoted-printable", b"x" * 999 + b"\r\n"),
        ("text/plain; charset=utf-16", "binary", b"a\0\n\0", "base64", b"a\0\n\0"),
        ("text/plain", "8bit", b"ascii\r\n", "7bit", b"ascii\r\n"),
        ("text/plain", "quoted-printable", b"a=3D\xc3\xbc\r\n", "quoted-printable", b"a=\xc3\xbc\r\n"),
        ("image/png", "quoted-printable", b"=0A=0D\xff\r\n", "quoted-printable", b"\n\r\xff\r\n"),
        ("image/png", "base64", b"aGFs\nbG8=\n", "base64", b"hallo"),
        ("image/png", "base64", b"aGFsbG8=" + b" " * 1000, "base64", b"hallo"),
        ("image/png", "", b"a\nb", "base64", b"a\nb"),
    ],
)  # fmt: skip
def test_leaves(kind: str, coding: str, body: bytes, expected_coding: str, expected: bytes) -> None:
    """RFC 8551 section 3.1.3: a part's content changes on its way into the signature."""
    made = convert(leaf(kind, body, coding))
    entity = parse(made.octets)
    assert entity.encoding == expected_coding
    assert decoded(entity) == expected
    assert is_seven_bit(Octets(made.octets))
    assert b"X-Other:  kept  as is \r\n" in entity.header
    assert made.obstacles == ()


def test_forwarded_messages_are_entered_not_encoded() -> None:
    """RFC 2046 section 5.2.1 forbids any encoding of message/rfc822 but 7bit, 8bit, binary."""
    forwarded = leaf("message/rfc822", leaf("text/plain", WIDE, "8bit"), "8bit")
    made = convert(multipart(forwarded))
    outer, message, text = list(walk(parse(made.octets)))[:3]
    assert outer.encoding == message.encoding == "7bit"
    inner = list(walk(parse(made.octets)))[-1]
    assert (text.raw, inner.encoding) == (inner.raw, "quoted-printable")
    assert made.obstacles == ()


@pytest.mark.parametrize(
    "untouchable",
    [
        multipart(leaf("text/plain", WIDE, "8bit"), leaf("application/pkcs7-signature", b"aGFs", "base64"), subtype="signed"),
        leaf("message/delivery-status", b"Final-Recipient: utf-8; \xc3\xbc@x\r\n"),
        leaf("multipart/mixed", WIDE),
        leaf("text/plain", WIDE, "x-unknown"),
    ],
)  # fmt: skip
def test_what_must_not_be_touched_is_named(untouchable: bytes) -> None:
    """Signing a signed mail again destroys the first signature."""
    made = convert(untouchable)
    assert made.octets is untouchable
    assert len(made.obstacles) >= 1
    outer = multipart(b"\r\n", coding="8bit").replace(b"b", b"B")
    start, end = outer.split(b"--B--")
    whole = start + b"--B\r\n" + untouchable + b"\r\n--B--" + end
    nested = convert(whole)
    assert nested.octets is whole
    assert nested.obstacles == made.obstacles


def test_a_clean_signed_part_is_no_obstacle() -> None:
    """Every signed mail is signed opaque, and nobody reads it on a phone."""
    signed = multipart(leaf("text/plain", b"x\r\n"), leaf("a/b", b"x"), subtype="signed")
    assert convert(signed).obstacles == ()


def test_wide_headers_and_gaps_are_named() -> None:
    """A signature over raw UTF-8 file names breaks at the first old relay."""
    assert convert("X: ü\r\n\r\n".encode()).obstacles == ("a header field is not ASCII",)
    assert len(convert(multipart(leaf("a/b", b"x")).replace(b"epi", b"\xff")).obstacles) == 1


def test_a_leaf_without_header_gets_one() -> None:
    """The encoding field of a part without header becomes its text."""
    made = to_seven_bit(multipart(b"\r\n" + WIDE))
    (part,) = parse(made).children
    assert part.header == b"Content-Transfer-Encoding: quoted-printable\r\n"
    assert decoded(part) == WIDE
    bare = to_seven_bit(WIDE)
    assert bare == b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n"


def test_a_forwarded_message_without_header_gets_one() -> None:
    """The encoding field of what was forwarded joins the header of the part that holds it."""
    made = to_seven_bit(multipart(b"Content-Type: message/rfc822\r\n" + WIDE))
    (part,) = parse(made).children
    assert part.header == b"Content-Type: message/rfc822\r\n"
    assert [decoded(one) for one in part.children] == [WIDE]


@pytest.mark.parametrize("size", [1, 77, 78, 79, 1000, 65536])
@pytest.mark.parametrize(("longest", "expected"), [(998, True), (999, False)])
def test_lines_across_chunks(size: int, longest: int, expected: bool) -> None:
    """Large ordinary mail would be read into memory and re-encoded for nothing."""
    lines = (b"x" * 76 + b"\r\n") * 3000
    octets = lines + b"y" * longest + b"\r\n" + lines
    pieces = tuple(Octets(octets[at : at + size]) for at in range(0, len(octets), size))
    assert is_seven_bit(Rope(pieces)) is expected
