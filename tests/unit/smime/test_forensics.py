"""What broke a signature: found where it is harmless, and never called valid."""

from __future__ import annotations

import re
import time

import pytest
from tests.unit.smime.letters import HEADER, sign, verify

from gatepost.mail.content import join
from gatepost.mime.transfer import encode_base64, encode_quoted_printable
from gatepost.smime import forensics
from gatepost.smime.report import Verdict

TEXT = b"Dear Bob,\r\n\r\nten thousand, as agreed \r\nFrom here on:\r\n\r\n-- \r\nAlice\r\n"
FOOTER = b"_______________________________________________\r\nbuyers mailing list\r\nbuyers@list.example\r\n"


def broken(change: tuple[bytes, bytes], header: bytes = HEADER, body: bytes = TEXT) -> str:
    """What is said of a signed message in which something was replaced."""
    made = sign(header, body)
    old, new = change
    octets = join(made[1])
    assert old in octets
    report = verify(made[0], octets.replace(old, new, 1)).report
    assert report.verdict is Verdict.INVALID
    assert not report.intact
    assert report.as_data()["forensics"] == report.forensics
    return report.forensics


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ((b"Alice\r\n", b"Alice\r\n" + FOOTER), f"footer of {len(FOOTER)} octets appended"),
        ((b"Dear Bob", b"EXTERNAL MAIL\r\n\r\nDear Bob"), "banner of 17 octets put before"),
        ((b"agreed \r\n", b"agreed\r\n"), ""),
        ((b"Dear Bob,\r\n", b"Dear Bob, \t\r\n"), ""),
        ((b"\r\nFrom here", b"\r\n>From here"), "From lines were quoted"),
        ((b"Alice\r\n\r\n--", b"Alice\r\n\r\n\r\n\r\n--"), "empty lines were added after the text"),
        ((b"Alice\r\n\r\n--", b"Alice\r\n--"), "the last line end was taken away"),
        ((b"ten thousand", b"one thousand"), ""),
    ],
)
def test_tells_the_change(change: tuple[bytes, bytes], what: str) -> None:
    """An administrator searches for an attacker where a list has put its footer."""
    assert broken(change) == (f"valid before: {what}" if what else "")


def test_white_space_is_found_where_it_is_the_only_change() -> None:
    """A relay that pads lines is called an attacker."""
    body = b"Dear Bob,\r\nten thousand.\r\n"

    assert "white space" in broken((b"Bob,\r\n", b"Bob, \r\n"), body=body)


WIDE = "Größe: zehn\r\n".encode()


def test_a_relay_that_encodes_or_decodes_is_found() -> None:
    """8BITMIME is missing somewhere, and every signature breaks."""
    coded = encode_quoted_printable(WIDE)
    field = b"Content-Transfer-Encoding: quoted-printable\r\n"
    header = HEADER.replace(b"us-ascii", b"utf-8")
    signed = header, WIDE  # signing encodes it
    assert "decoded" in broken((field + b"\r\n" + coded, _field(b"8bit") + WIDE), *signed)
    again = _field(b"base64") + encode_base64(WIDE).removesuffix(b"\r\n")
    assert "encoded" in broken((field + b"\r\n" + coded.removesuffix(b"\r\n"), again), *signed)

    plain = header + b"Content-Transfer-Encoding: 7bit\r\n"
    body = b"a = b\r\n"
    assert "8-bit text was encoded" in broken(
        (_field(b"7bit") + body, _field(b"quoted-printable") + b"a =3D b\r\n"), plain, body
    )


def _field(coding: bytes) -> bytes:
    return b"Content-Transfer-Encoding: " + coding + b"\r\n\r\n"


def test_a_forgery_beside_a_footer_is_not_excused() -> None:
    """A footer is a cover for another amount."""
    header, body = sign(HEADER, TEXT)
    octets = join(body).replace(b"Alice\r\n", b"Alice\r\n" + FOOTER, 1)
    forged = octets.replace(b"ten thousand", b"one thousand")

    assert verify(header, octets).report.forensics
    assert verify(header, forged).report.forensics == ""


def test_it_costs_little() -> None:
    """A large mail with a broken signature holds up the others."""
    text = b"line\r\n" * 170_000
    header, body = sign(HEADER, text)
    octets = re.sub(rb"line", b"Line", join(body), count=1)
    start = time.process_time()
    assert verify(header, octets).report.forensics == ""
    assert time.process_time() - start < 2.0
    larger = sign(HEADER, text * 2)
    assert len(join(larger[1])) > forensics.MAXIMUM_SIZE
    assert verify(
        larger[0], join(larger[1]).replace(b"line", b"Line", 1)
    ).report.forensics.startswith("not looked")
