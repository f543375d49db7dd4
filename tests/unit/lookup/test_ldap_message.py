"""Messages of LDAP read from strangers: what is broken is Malformed, never an error of ours."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.cms.der import integer, octet_string, sequence, tlv
from gatepost.errors import Malformed
from gatepost.lookup.ldap_message import Entry, Result, Search, plain, read, search

PAGED = sequence(
    integer(3),
    tlv(0x65, tlv(0x0A, b"\0"), octet_string(b""), octet_string(b"fine\x07")),
    tlv(
        0xA0,
        sequence(
            octet_string(b"1.2.840.113556.1.4.319"),
            octet_string(sequence(integer(0), octet_string(b"more"))),
        ),
    ),
)
ENTRY = sequence(
    integer(2),
    tlv(
        0x64,
        octet_string(b"cn=x"),
        sequence(
            sequence(octet_string(b"userCertificate;binary"), tlv(0x31, octet_string(b"a"))),
            sequence(octet_string(b"usercertificate"), tlv(0x31, octet_string(b"b"))),
            sequence(octet_string(b"Member;Range=0-1"), tlv(0x31, octet_string(b"cn=y"))),
        ),
    ),
)


def test_an_entry_and_an_end() -> None:
    """Servers differ in case and options; the next page would be lost."""
    number, entry = read(ENTRY)
    assert number == 2
    assert isinstance(entry, Entry)
    assert entry.values == {"usercertificate": (b"a", b"b"), "member;range=0-1": (b"cn=y",)}
    assert read(PAGED) == (3, Result(0, "fine", b"more"))
    assert plain("userSMIMECertificate;binary") == "usersmimecertificate"


def test_the_next_page_is_asked_for_by_its_cookie() -> None:
    """A group of two thousand would have five hundred members."""
    asked = Search("dc=x", "sub", b"\x87\x01a", ("mail",), page=500)
    assert b"more" in search(7, asked, b"more")
    assert b"319" not in search(7, Search("dc=x", "sub", b"\x87\x01a", ("mail",)))


@pytest.mark.parametrize("whole", [ENTRY, PAGED])
@given(place=st.integers(0, 1000), mask=st.integers(1, 255), end=st.integers(0, 1000))
def test_broken(whole: bytes, place: int, mask: int, end: int) -> None:
    """A directory could end a worker's task with an error nobody expects."""
    octets = bytearray(whole)
    octets[place % len(octets)] ^= mask
    for one in (bytes(octets), whole[: end % len(whole)]):
        with suppress(Malformed):
            read(one)
