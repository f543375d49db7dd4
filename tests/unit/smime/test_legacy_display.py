"""Hidden fields shown in the text, and taken out again (RFC 9788 section 4.5.3)."""

from __future__ import annotations

import pytest

from gatepost.smime import legacy_display

LINES = ["Subject: Größe & Preis", "Keywords: offer"]
KNOWN = frozenset(LINES)
ALTERNATIVE = """Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/alternative; boundary=a

--a
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Dear Bob,=20
--a
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PGh0bWw+PGJvZHkgc3R5bGU9IngiPkRlYXIgQm9iPC9ib2R5PjwvaHRtbD4=
--a--
--m
Content-Type: text/plain; charset=utf-8
Content-Disposition: attachment

an attachment
--m--
""".replace("\n", "\r\n").encode()


def test_every_main_part_shows_them_and_comes_back() -> None:
    """The reader of the HTML does not see the Subject, or sees it for ever."""
    shown = legacy_display.inserted(ALTERNATIVE, LINES)

    assert shown.count(b"hp-legacy-display") == 2
    assert b"Subject: Gr=C3=B6=C3=9Fe & Preis" in shown
    assert shown.endswith(ALTERNATIVE[ALTERNATIVE.index(b"--m\r\nContent-Type: text/plain") :])
    assert legacy_display.removed(shown, KNOWN) == ALTERNATIVE


def test_a_charset_that_cannot_say_it_is_left() -> None:
    """The text is damaged for the sake of a copy."""
    plain = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nDear Bob\r\n"

    unknown = plain.replace(b"us-ascii", b"x-none")

    assert legacy_display.inserted(plain, LINES) == plain
    assert legacy_display.inserted(unknown, LINES) == unknown
    assert legacy_display.inserted(plain, LINES[1:]) != plain


@pytest.mark.parametrize(
    "text",
    [
        b"Pay to 4711.\r\n\r\nDear Bob",
        b"Subject: other\r\n\r\nDear Bob",
        b"Keywords: offer\r\nPay to 4711.\r\n\r\nDear Bob",
        b"no blank line",
        b"",
    ],
)
def test_other_words_never_disappear(text: bytes) -> None:
    """A parameter hides a sentence from one reader that another one sees."""
    part = b'Content-Type: text/plain; charset=utf-8; hp-legacy-display="1"\r\n\r\n' + text
    page = b'Content-Type: text/html; hp-legacy-display="1"\r\n\r\n<body>'
    page += b'<div class="header-protection-legacy-display">' + text + b"</div>"

    assert legacy_display.removed(part, KNOWN) == part
    if text:
        assert legacy_display.removed(page, KNOWN) == page


def test_others_write_it_too() -> None:
    """RFC 9788 section 1.9: its own example."""
    part = (
        b'Content-Type: text/plain; charset="us-ascii"; hp-legacy-display="1";\r\n\r\n'
        b"Subject: Handling the Jones contract\r\nKeywords: Contract,\r\n Urgent\r\n\r\nPlease"
    )
    known = {"Subject: Handling the Jones contract", "Keywords: Contract, Urgent"}

    assert legacy_display.removed(part, known).endswith(b"\r\n\r\nPlease")
