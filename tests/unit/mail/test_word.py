"""Encoded words: subjects as people wrote them, whatever the sender's software did."""

import pytest

from gatepost.mail import word


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?J=C3=B6rg?=", "Jörg"),
        (b"=?UTF-8?Q?a_b?=", "a b"),
        (b"=?utf-8?b?w6Q=?=", "ä"),
        (b"=?utf-8?b?w6Q?=", "ä"),  # padding missing
        (b"=?iso-8859-1*de?q?=E4?=", "ä"),  # RFC 2231 section 5
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= \t =?utf-8?q?b?= c", "ab c"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),  # a character split between two words
        (b"=?utf-8?q?a?= =?iso-8859-1?q?=E4?=", "aä"),
        (b"x =?utf-8?q?a?= y", "x a y"),
        (b"=?nonsense?q?=C3=A4?=", "ä"),
        (b"=?hex?q?=C3=A4?=", "ä"),
        (b"=?idna?q?a?=", "a"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"=?utf-8?q?a", "=?utf-8?q?a"),
        (b"gr\xfc\xdfe", "grüße"),
        (b"gr\xc3\xbc\xc3\x9fe", "grüße"),
        (b"=?utf-8?q?a=0D=0ABcc:_x?=", "a  Bcc: x"),
        (b"=?utf-8?q?=00?=", " "),
        (b"=?utf-7?q?Gr+APwA3w-e?=", "Grüße"),
        (b"=?unicode-1-1-utf-7?q?+APw?= =?UTF-7?q?+APw?= =?utf-7?q?+APw-?=", "üüü"),
        (b"=?utf-7?q?+2AA-?=", "?"),  # half a character
        (b"=?utf-7?q?+AAoAAA-x?=", "  x"),  # line end and NUL
        ("=?utf-8?b?ä?=".encode(), ""),
    ],
)
def test_decode(value: bytes, text: str) -> None:
    """A subject tag is not recognised, or a control character reaches a log or a header."""
    assert word.decode(value) == text


def test_encode_stays_within_its_line() -> None:
    """RFC 2047 section 2: 'an encoded-word may not be more than 75 characters long'."""
    text = "ß" * 300 + " €" * 50
    made = word.encode(text)
    assert all(len(one) <= 75 for one in made.split(" "))
    assert word.decode(made.encode()) == text
