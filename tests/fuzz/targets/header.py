"""The header codec: fields, encoded words, addresses, parameters, and what we compose of them.

Invariant: Malformed or a value; slices of fields never overlap; what we compose is one field,
ASCII and folded, and reads back; an edit leaves every other octet.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress

from gatepost.errors import LimitExceeded, Malformed
from gatepost.mail import field as codec
from gatepost.mail import trace, word
from gatepost.mail.address import Mailbox
from gatepost.mail.dsn import xtext
from gatepost.mail.field import Field
from gatepost.mail.mailbox_list import author, mailboxes, seen
from gatepost.mime import content_type, headers
from gatepost.smime import parameter

WORDS = (
    *(b"From: ", b"Subject: ", b"Content-Type: ", b"Content-Disposition: ", b"\r\n ", b"\n"),
    *(b"Authentication-Results: ", b"Content-Transfer-Encoding: ", b"Received: ", b"HP-Outer: "),
    *(
        b"=?utf-8?q?",
        b"=?iso-2022-jp?b?",
        b"=?utf-7?q?",
        b"?=",
        b"=?utf-8*de?b?",
        b"=C3",
        b"\x1b$B",
    ),
    *(b"filename*0*=utf-8''%C3", b"; name*1=", b'boundary="', b"charset=", b"multipart/signed"),
    *(
        b"<a@b.example>",
        b'"a b"',
        b"(c)",
        b"group:;",
        b"[192.0.2.1]",
        b"xn--",
        b"\xc3\x9f",
        b"\xff",
    ),
)


def target(octets: bytes) -> None:
    """One header block."""
    with suppress(LimitExceeded):
        block(octets)
    value(octets)
    with suppress(Malformed):
        mailbox(Mailbox.parse(word.raw_text(octets)))


def block(header: bytes) -> None:
    """A header, field by field."""
    found = codec.fields(header)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(found))
    assert all(header[one.start : one.stop] == one.raw for one in found)
    author(header)
    trace.count_received(header)
    stripped = trace.strip_authentication_results(header, "gate.example")
    assert trace.strip_authentication_results(stripped, "gate.example") == stripped
    for kind in (headers.content_type(header), content_type.parse(header)):
        composed(kind)
    headers.disposition(header), headers.filename(header), headers.encoding(header)
    for one in found[:6]:
        edit(header, found, one)
    marked(header)


def edit(header: bytes, found: tuple[Field, ...], one: Field) -> None:
    """Put another value in a field's place, or leave it out."""
    others = [other.raw for other in found if other.name.lower() != one.name.lower()]
    assert [other.raw for other in codec.fields(codec.without(header, one.name))] == others
    with suppress(Malformed):  # a word too long for a line
        changed = codec.replaced(header, one.name, one.text)
        assert codec.without(changed, one.name) == codec.without(header, one.name)
    value(one.value)


def value(octets: bytes) -> None:
    """A field's value: read for people, written again, read as addresses."""
    text = word.decode(octets)
    assert text.isprintable() or word.clean(text) == text
    assert len(text) <= 2 * len(octets) + 2
    mailboxes(octets)
    seen(text)
    for said in (text, octets):
        with suppress(Malformed):  # a line break, or a word too long for a line
            field = codec.compose("X-Field", said)
            assert len(codec.fields(field)) == 1
            assert codec.fields(field)[0].stop == len(field)
            assert all(len(line) <= codec.MAXIMUM_LINE for line in field.split(b"\r\n"))
            read(field, said)
    xtext(text)


def read(field: bytes, said: str | bytes) -> None:
    """What was composed."""
    (one,) = codec.fields(field)
    if isinstance(said, bytes):
        unfolded = said.replace(b"\r\n", b"").replace(b"\n", b"")
        assert one.value == unfolded.strip(b" \t\r")
    else:
        assert field.isascii()
        if (
            word.decode(said.encode("utf-8", "replace")) == said
        ):  # else it has words that look coded
            assert one.text == said.strip(" \t")


def composed(kind: content_type.ContentType) -> None:
    """A media type, written and read again."""
    with suppress(Malformed):
        made = codec.compose("Content-Type", kind.compose().encode("ascii"))
        again = headers.content_type(made)
        assert again.essence == kind.essence


def marked(header: bytes) -> None:
    """A parameter put in a Content-Type and taken out again."""
    with suppress(Malformed):
        made = parameter.added(header, "hp", "clear")
        if headers.first(header, "Content-Type") is not None:
            assert headers.content_type(made).get("hp") == "clear"
        assert "hp" not in headers.content_type(parameter.removed(made, "hp")).parameters


def mailbox(one: Mailbox) -> None:
    """An address: spelled as it was read, and compared by one key."""
    assert Mailbox.parse(str(one)) == one
    assert one.key == one.key.lower()
    assert one.domain_key == one.key.rpartition("@")[2]


def seeds() -> Iterator[bytes]:
    """Headers our own writer makes, and some that strangers send."""
    yield (
        b'From: =?utf-8?q?J=C3=B6rg?= <a@b.example> (c), G: "x" <c@d.example>;\r\n'
        b"Authentication-Results: (c) gate.example 1; smime=pass\r\n"
        b"Content-Type: multipart/signed; boundary=\"b b\"; name*0*=utf-8''%C3; name*1=x\r\n"
    )
    for text in ("Grüße aus Köln", "plain " * 30, "日本語 " * 20, "x" * 200, "=?utf-8?q?=C3=BC?="):
        for name in ("Subject", "From", "Content-Disposition"):
            yield codec.compose(name, text)
    for charset in ("utf-8", "utf-7", "utf-16", "iso-2022-jp", "gb18030", "hz", "cp037", "big5"):
        coded = word.encode("ü").replace("utf-8", charset)
        yield f"Subject: {coded} {coded}\r\n".encode()
    yield b'Content-Disposition: attachment; filename="=?utf-8?b?w7w=?="; size=1\r\n'
    yield b'Content-Type: text/plain; hp="clear"; charset=(c)utf-8\r\n'
    yield b"Received: from a (b [192.0.2.1]) by c; Mon, 1 Jun 2026 12:00:00 +0000\r\n"
    for address in (
        "a@b.example",
        '"a b"@c.example',
        "ü@straße.example",
        "a@[192.0.2.1]",
        "a@xn--a",
    ):
        yield address.encode()
