"""DER as X.690 wants it: one encoding for each value."""

from __future__ import annotations

import pytest

from gatepost.cms import ber, der


@pytest.mark.parametrize(
    ("count", "octets"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8180"),
        (255, "81ff"),
        (256, "820100"),
        (1 << 24, "8401000000"),
    ],
)
def test_lengths_are_as_short_as_possible(count: int, octets: str) -> None:
    """A longer length is not DER, and strict peers refuse it."""
    assert der.length(count).hex() == octets


@pytest.mark.parametrize(
    ("value", "octets"),
    [(0, "020100"), (127, "02017f"), (128, "02020080"), (-1, "0201ff"), (-129, "0202ff7f")],
)
def test_integers_are_twos_complement(value: int, octets: str) -> None:
    """A serial number with its top bit set would name another certificate."""
    assert der.integer(value).hex() == octets
    assert ber.parse(der.integer(value)).integer() == value


def test_object_identifiers() -> None:
    """Every algorithm is named by one."""
    assert der.oid("1.2.840.113549.1.7.2").hex() == "06092a864886f70d010702"
    assert der.oid("2.16.840.1.101.3.4.1.46").hex() == "060960864801650304012e"
    assert ber.dotted(der.oid_contents("2.999.3")) == "2.999.3"


def test_a_set_is_sorted() -> None:
    """Signed attributes out of order are verified over other octets than were signed."""
    assert der.set_of(b"\x04\x01b", b"\x02\x01a", b"\x04\x01a").hex() == "3109020161040161040162"


def test_a_shell_is_what_nesting_would_give() -> None:
    """Large mail would carry wrong lengths, unreadable from the first octet on."""
    content = b"x" * 1000
    nested = der.sequence(b"\x01", der.tlv(0xA0, b"\x02", der.octet_string(content)), b"\x03")
    shell = (
        der.Shell(len(content))
        .within(der.OCTET_STRING)
        .within(0xA0, b"\x02")
        .within(der.SEQUENCE, b"\x01", b"\x03")
    )
    assert shell.prefix + content + shell.suffix == nested
