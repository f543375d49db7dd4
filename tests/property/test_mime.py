"""Whatever people write: parts tile their body, edits spare other octets, encodings come back."""

import email
import email.policy
from email.message import Message

from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.targets.mime import sliced

from gatepost.errors import Malformed
from gatepost.mail import word
from gatepost.mail.content import Octets, Rope, join
from gatepost.mail.field import compose, fields, first, replaced, without
from gatepost.mime.canonical import convert, crlf, is_seven_bit
from gatepost.mime.compose import entity, multipart
from gatepost.mime.content_type import ContentType
from gatepost.mime.content_type import parse as parse_type
from gatepost.mime.entity import Entity, decoded, parse, split_header, walk
from gatepost.mime.transfer import (
    Base64,
    decode_base64,
    decode_quoted_printable,
    encode_base64,
    encode_quoted_printable,
)

NAMES = st.sampled_from(["Subject", "From", "X-A", "Content-Type", "subject", "x"])
VALUES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Cs")), max_size=200
).filter(
    lambda text: word.decode(text.encode()) == text
)  # encoded words stay, and are read as such
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
# Octets that tempt: line ends, dashes, boundaries, From lines, dots, wide ones.
TEMPTING = st.lists(
    st.sampled_from(
        [b"\r\n", b"\n", b"\r", b"--", b"--b", b"--b--", b"From ", b".", b" ", b"\t", b"=", b"x" * 75, b"x" * 999, b"\xc3\xbc", b"\xff", b"\0", b"a: b\r\n", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"]
    ),
    max_size=12,
).map(b"".join)  # fmt: skip
BODIES = st.one_of(st.binary(max_size=300), TEMPTING)
KINDS = st.sampled_from(["text/plain; charset=utf-8", "text/html", "application/pdf", "image/png"])
CODINGS = st.sampled_from(["", "7bit", "8bit", "binary"])


@st.composite
def leaves(draw: st.DrawFn) -> bytes:
    """A leaf whose body never looks like a delimiter."""
    coding = draw(CODINGS)
    field = f"Content-Transfer-Encoding: {coding}\r\n" if coding else ""
    body = draw(BODIES).replace(b"--", b"-")
    return f"Content-Type: {draw(KINDS)}\r\n{field}\r\n".encode() + body


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> bytes:
    """An entity: a leaf, a multipart or a forwarded message."""
    if depth == 3 or draw(st.booleans()):
        return draw(leaves())
    if draw(st.integers(0, 3)) == 0:
        return b"Content-Type: message/rfc822\r\n\r\n" + draw(trees(depth=depth + 1))
    parts = draw(st.lists(trees(depth=depth + 1), min_size=1, max_size=3))
    made = multipart("mixed", [Octets(part) for part in parts], b"=_%d" % depth)
    return join(entity(*made))


@given(HEADERS)
def test_composed_fields_read_back(pairs: list[tuple[str, str]]) -> None:
    """A subject changes when we put its tag away."""
    header = b"".join(compose(name, value) for name, value in pairs)
    assert header.isascii()
    assert all(len(line) <= 998 for line in header.split(b"\r\n"))
    found = [(field.name, field.text) for field in fields(header)]
    assert found == [(name, value.strip(" \t")) for name, value in pairs]


@given(HEADERS, NAMES, VALUES)
def test_edits_spare_other_fields(pairs: list[tuple[str, str]], name: str, value: str) -> None:
    """An edit of one field breaks a DKIM signature over another."""
    header = b"".join(compose(*pair) for pair in pairs)
    others = [field.raw for field in fields(header) if field.name.lower() != name.lower()]
    assert without(header, name) == b"".join(others)
    edited = replaced(header, name, value)
    assert without(edited, name) == b"".join(others)
    assert [field.text for field in fields(edited) if field.name.lower() == name.lower()] == [value.strip(" \t")]  # fmt: skip


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_value_adds_a_field(value: str | bytes) -> None:
    """A header is injected."""
    try:
        made = compose("X-A", value)
    except Malformed:
        return
    assert len(fields(made)) == 1
    assert fields(made)[0].stop == len(made)
    assert split_header(made + b"\r\nbody") == (made, b"body")


@given(st.lists(trees(), min_size=1, max_size=4), st.binary(max_size=20))
def test_composed_parts_parse_to_themselves(parts: list[bytes], preamble: bytes) -> None:
    """What was signed and what is verified differ."""
    header, body = multipart("mixed", [Octets(part) for part in parts], b"=_outer")
    tree = parse(join(entity(header, body)))
    assert [part.raw for part in tree.children] == parts


@given(st.one_of(trees(), BODIES))
def test_offsets_tile_every_body(octets: bytes) -> None:
    """An octet of a mail belongs to two parts, or to none."""
    for one in walk(parse(octets)):
        assert one.start <= one.body_start <= one.stop <= len(octets)
        assert one.header == octets[one.start : one.start + len(one.header)]
        if one.content_type.type == "multipart":
            tile(octets, one)


def tile(octets: bytes, one: Entity) -> None:
    position = one.body_start
    delimiter = b"--" + one.content_type.boundary
    for number, child in enumerate(one.children):
        assert child.start >= position
        between = octets[position : child.start]
        if number:
            assert between.strip(b"\r\n \t") == delimiter
        else:
            assert between.rstrip(b"\r\n \t").endswith(delimiter)
        position = child.stop
    if one.close is not None and one.children:
        assert octets[position : one.close].strip(b"\r\n \t") == delimiter + b"--"


@given(st.one_of(trees(), BODIES))
def test_slices_put_together_are_the_whole(octets: bytes) -> None:
    """What is relayed is not what came."""
    assert sliced(parse(octets)) == octets


@given(trees())
def test_seven_bit_form_has_the_same_contents(octets: bytes) -> None:
    """RFC 8551 section 3.1.3: a file is not the file any more after signing."""
    made = convert(octets)
    assert made.obstacles == ()
    assert is_seven_bit(Octets(made.octets))
    before, after = list(walk(parse(octets))), list(walk(parse(made.octets)))
    oracle = list(email.message_from_bytes(made.octets, policy=email.policy.compat32).walk())
    assert len(before) == len(after) == len(oracle)
    for old, new, judge in zip(before, after, oracle, strict=True):
        assert old.content_type == new.content_type
        if not old.children:
            same_content(old, new, judge)
    assert convert(made.octets).octets == made.octets


def same_content(old: Entity, new: Entity, judge: Message) -> None:
    plain = decoded(old)
    if old.content_type.type == "text" and b"\0" not in plain:
        plain = crlf(plain)
    assert decoded(new) == plain
    if new.encoding in {"base64", "quoted-printable"}:
        assert judge.get_payload(decode=True) == plain


@given(st.binary(max_size=2000) | TEMPTING)
def test_transfer_encodings_come_back(octets: bytes) -> None:
    """A file changes on its way."""
    assert decode_base64(encode_base64(octets)) == octets
    made = encode_quoted_printable(octets)
    assert decode_quoted_printable(made) == octets
    assert is_seven_bit(Octets(made))
    assert all(
        len(line) <= 76 and line != b"." and not line.startswith(b"From ")
        for line in made.split(b"\r\n")
    )


@given(st.lists(st.binary(max_size=150), max_size=8))
def test_streams_know_their_size(pieces: list[bytes]) -> None:
    """A length in the CMS structure is wrong, and nobody can open it."""
    content = Rope(tuple(Octets(piece) for piece in pieces))
    assert join(Base64(content)) == encode_base64(join(content))
    assert Base64(content).size == len(join(Base64(content)))
    assert is_seven_bit(content) == is_seven_bit(Octets(join(content)))


@given(st.dictionaries(st.sampled_from(["name", "filename", "x", "micalg"]), VALUES))
def test_parameters_read_back(parameters: dict[str, str]) -> None:
    """A file loses its name."""
    kind = ContentType("a", "b", parameters)
    field = first(compose("Content-Type", kind.compose().encode()), "Content-Type")
    assert field is not None
    assert parse_type(field.value) == kind
