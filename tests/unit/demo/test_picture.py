"""What the demo's page says an eavesdropper sees."""

import pytest

from gatepost.demo.company import Person
from gatepost.demo.exchange import Exchange
from gatepost.demo.picture import picture


@pytest.mark.parametrize(
    ("crossed", "words"),
    [
        (b"Subject: A file\r\n\r\nDear Bob", "can read this mail"),
        (b"Subject: A file\r\n\r\nMIIX", "the subject and the size, but not the text"),
        (b"Subject: [...]\r\n\r\nMIIX", "neither the subject nor the text"),
        (b"", ""),
    ],
)
def test_what_eve_sees(crossed: bytes, words: str) -> None:
    """The page promises less, or more, than what crossed the wire."""
    alice, bob = Person("Alice", "alice@xyz.us.example"), Person("Bob", "bob@xyz.co.uk.example")
    wire = [("c", crossed)] if crossed else []
    exchange = Exchange(1, "", alice, bob, "[secure] A file", "Dear Bob", b"", wire)
    sees = picture(exchange)["sees"]
    assert words in sees
    assert bool(words) is bool(sees)
