"""Header and body apart, whatever the size."""

import pytest

from gatepost.engine.intake import MAXIMUM_HEADER, split
from gatepost.errors import LimitExceeded
from gatepost.mail.content import Octets, Rope, join

HEADER, BODY = b"From: a@example.com\r\nSubject: x\r\n", b"one\r\n\r\ntwo\r\n"


@pytest.mark.parametrize("pieces", [1, 7, 64])
def test_split_gives_back_every_octet(pieces: int) -> None:
    """A body cut at the wrong place breaks its signature."""
    whole = HEADER + b"\r\n" + BODY * 1000
    parts = [
        whole[at : at + len(whole) // pieces] for at in range(0, len(whole), len(whole) // pieces)
    ]
    header, body = split(Rope(tuple(map(Octets, parts))))
    assert (header, join(body)) == (HEADER, BODY * 1000)
    assert split(Octets(whole)) == (HEADER, Octets(BODY * 1000))


def test_header_without_body() -> None:
    """An empty body is a body."""
    header, body = split(Rope((Octets(HEADER), Octets(b"\r\n"))))
    assert (header, body.size) == (HEADER, 0)


def test_endless_header_is_refused() -> None:
    """A header of gigabytes would be read into memory."""
    field = b"X-Field: " + b"y" * 60 + b"\r\n"
    with pytest.raises(LimitExceeded, match="header is longer"):
        split(Rope((Octets(field * (MAXIMUM_HEADER // len(field) + 2)), Octets(b"\r\nbody"))))
