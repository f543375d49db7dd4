"""The little DER that is read beside the library: exact, and in linear time."""

from __future__ import annotations

import pytest

from gatepost.cms.der import oid, sequence, tlv
from gatepost.enrol import demand
from gatepost.errors import Malformed
from gatepost.pki.der import dotted, first, items


@pytest.mark.parametrize("name", ["1.2.840.113549.1.9.7", "2.16.840.1.101.3.4.1.42", "0.9.2342"])
def test_object_identifiers(name: str) -> None:
    """What a server wants is taken for something else."""
    assert dotted(oid(name)) == name


@pytest.mark.parametrize("size", [0, 65, 60_000])
def test_absurd_identifiers(size: int) -> None:
    """One of a megabyte keeps a processor busy for hours: its number grows with every octet."""
    absurd = tlv(0x06, b"\xff" * max(0, size - 1) + b"\x01" * bool(size))
    with pytest.raises(IndexError):
        dotted(absurd)
    with pytest.raises(Malformed):
        demand.read(sequence(absurd))


def test_cut_short() -> None:
    """A reader ends with an error that nobody expects."""
    whole = sequence(oid("1.2.3"), sequence())
    assert list(items(whole)) == [oid("1.2.3"), sequence()]
    for octets in (sequence(), b"\x30\x80\0\0", *(whole[:end] for end in range(1, len(whole)))):
        with pytest.raises(IndexError):
            first(octets)
