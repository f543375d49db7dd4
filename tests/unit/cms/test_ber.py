"""BER from strangers: everything legal is read, everything else refused at little cost."""

from __future__ import annotations

import time

import pytest

from gatepost.cms import ber, der
from gatepost.errors import LimitExceeded, Malformed

EOC = b"\x00\x00"


def test_a_string_in_pieces() -> None:
    """OpenSSL -stream, BouncyCastle and NSS all send content in pieces."""
    inner = b"\x24\x80" + der.octet_string(b"b") + der.octet_string(b"c") + EOC
    octets = b"\x24\x80" + der.octet_string(b"a") + inner + der.octet_string(b"") + EOC
    assert ber.parse(octets).octets() == b"abc"
    assert (
        ber.parse(der.tlv(0x24, der.octet_string(b"a"), der.octet_string(b"b"))).octets() == b"ab"
    )
    assert ber.parse(der.octet_string(b"a")).octets() == b"a"
    assert ber.parse(der.octet_string(b"")).octets() == b""
    assert ber.parse(b"\x24\x80" + EOC).octets() == b""


def test_nothing_is_copied() -> None:
    """A message of 100 MiB would need another 100 MiB for each look at it."""
    octets = der.octet_string(b"x" * 5000)
    (piece,) = ber.parse(octets).pieces()
    assert piece.obj is octets


def test_indefinite_lengths_nest() -> None:
    """The end of an outer structure would be taken for that of an inner one."""
    octets = b"\x30\x80" + b"\x30\x80" + der.integer(1) + EOC + der.integer(2) + EOC + b"rest"
    first, second = ber.parse(octets).sequence()
    assert [child.integer() for child in first.sequence()] == [1]
    assert second.integer() == 2
    assert first.raw == b"\x30\x80" + der.integer(1) + EOC


def test_lengths_may_be_longer_than_needed() -> None:
    """BER allows it (X.690 8.1.3.5) and some tokens write four octets always."""
    assert ber.parse(b"\x04\x84\x00\x00\x00\x01a").octets() == b"a"


MALFORMED = [
    b"",
    b"\x30",
    b"\x30\x05\x00",
    b"\x04\x80a\x00\x00",  # a primitive of indefinite length
    b"\x30\x80",  # without an end
    b"\x30\x80\x02\x01",
    b"\x1f\x01\x00",  # a high tag number
    b"\x30\x89" + b"\x00" * 9,  # nine length octets
    b"\x30\x88" + b"\xff" * 8,
    b"\x30\xff",
    b"\x24\x03\x02\x01\x00",  # no string inside a string
]


@pytest.mark.parametrize("octets", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed(octets: bytes) -> None:
    """A crash here is a mail that can stop the gateway."""
    with pytest.raises(Malformed, match="BER"):
        ber.parse(octets).pieces()


def test_every_truncation_is_noticed() -> None:
    """A cut message would be read as a shorter one."""
    octets = der.sequence(der.integer(1), der.tlv(0x24, der.octet_string(b"x" * 200)))
    for end in range(len(octets)):
        with pytest.raises(Malformed):
            ber.parse(octets[:end])


def _seconds(octets: bytes) -> float:
    start = time.process_time()
    with pytest.raises(Malformed):
        walk(ber.parse(octets))
    return time.process_time() - start


def walk(element: ber.Element) -> None:
    """Look at everything there is, as no reader ever does."""
    if element.tag in (0x24, 0xA4):
        element.pieces()
    elif element.is_constructed:
        for child in element.children():
            walk(child)


HOSTILE = {
    "200 000 pieces of one octet": b"\x24\x80" + b"\x04\x01x" * 200_000 + EOC,
    "the same, of definite length": der.tlv(0x24, b"\x04\x01x" * 200_000),
    "2 000 strings in strings": b"\x24\x80" * 2_000 + EOC * 2_000,
    "50 000 indefinite lengths": b"\x30\x80" * 50_000 + EOC * 50_000,
    "50 000 without an end": b"\x30\x80" * 50_000,
    "300 000 empty elements": der.sequence(b"\x05\x00" * 300_000),
    "300 000 empty elements, indefinite": b"\x30\x80" + b"\x05\x00" * 300_000 + EOC,
    "300 000 empty indefinite ones": b"\x30\x80" + b"\x30\x80\x00\x00" * 300_000 + EOC,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_refused_quickly(name: str) -> None:
    """One mail of a megabyte would stop the gateway for seconds."""
    assert min(_seconds(HOSTILE[name]) for _ in range(3)) < 1.0  # the machine may be busy


PIECES = b"\x04\x01x" * (20 * 1024 * 1024 // 3)
TWENTY_MEBIBYTES = {
    "indefinite": b"\x24\x80" + PIECES + EOC,
    "definite": der.tlv(0x24, PIECES),
    "elements": b"\x30\x80" + PIECES + EOC,
    "definite elements": der.sequence(PIECES),
}


@pytest.mark.parametrize("name", TWENTY_MEBIBYTES)
def test_twenty_mebibytes_of_single_octets(name: str) -> None:
    """Refused at the start, not when all of it was read."""
    octets = TWENTY_MEBIBYTES[name]
    assert min(_seconds(octets) for _ in range(3)) < 0.05


def test_what_is_yet_to_come_warrants_nothing() -> None:
    """One long piece pays for those after it, and none of those before."""
    long = der.octet_string(bytes(4 * 1024 * 1024))
    tiny = der.octet_string(b"x") * 60_000
    assert len(ber.parse(b"\x24\x80" + long + tiny + EOC).pieces()) == 60_001
    with pytest.raises(LimitExceeded):
        ber.parse(b"\x24\x80" + tiny + long + EOC).pieces()


def test_nested_definite_strings() -> None:
    """Recursion would end in a crash instead of a refusal."""
    octets = b"x"
    for _ in range(2_000):
        octets = der.tlv(0x24, octets)
    with pytest.raises(LimitExceeded):
        ber.parse(octets).pieces()


def test_ends_are_found_once() -> None:
    """Each level scanning all levels below it would make depth cost quadratic time."""
    many = b"\x30\x80" + b"\x05\x00" * 500 + EOC
    octets = many
    for _ in range(30):
        octets = b"\x30\x80" + octets + EOC
    element = ber.parse(octets)
    before = element.source.budget
    for _ in range(30):
        (element,) = element.children()
    assert before - element.source.budget == 30


def test_long_messages_may_have_many_pieces() -> None:
    """Pieces of 1000 octets are BouncyCastle's habit: 20 MiB must pass."""
    octets = b"\x24\x80" + der.octet_string(b"x" * 1000) * 20_000 + EOC
    assert len(ber.parse(octets).pieces()) == 20_000


def test_canonical() -> None:
    """Signers sign the DER encoding of what they send as BER (RFC 5652 section 5.4)."""
    one, two = der.sequence(der.integer(1)), der.sequence(der.integer(2))
    pieces = b"\x24\x80" + der.octet_string(b"a") + der.octet_string(b"b") + EOC
    octets = b"\x31\x80" + two + b"\x30\x81\x03\x02\x01\x01" + pieces + EOC
    assert ber.canonical(ber.parse(octets)) == der.set_of(one, two, der.octet_string(b"ab"))
