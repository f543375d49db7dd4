"""Which fields go inside a layer and which stay outside."""

import base64

from gatepost.mail.content import Octets, join
from gatepost.smime import payload

HEADER = (
    b"Received: from a by b;\r\n\tMon, 1 Jun 2026 12:00:00 +0000\r\n"
    b"content-type: text/html;\r\n charset=utf-8\r\n"
    b"Subject: x\r\n"
    b"Mime-Version: 1.0\r\n"
    b"Content-Language: de\r\n"
    b"MIME-Version: 1.0\r\n"
)


def test_only_content_fields_go_inside() -> None:
    """A Subject inside would be hidden from every relay; a Content-Type outside would lie."""
    outside, entity = payload.enclosed(HEADER, Octets(b"<p>"))

    assert outside == (
        b"Received: from a by b;\r\n\tMon, 1 Jun 2026 12:00:00 +0000\r\n"
        b"Subject: x\r\nMime-Version: 1.0\r\n"
    )
    assert join(entity) == (
        b"content-type: text/html;\r\n charset=utf-8\r\nContent-Language: de\r\n\r\n<p>"
    )


def test_a_message_without_mime_gets_the_default_said_aloud() -> None:
    """Some readers take an entity that begins with an empty line for garbage."""
    _, entity = payload.enclosed(b"From: a@b.example\r\n", Octets(b"hi\r\n"))

    assert join(entity) == b"Content-Type: text/plain; charset=us-ascii\r\n\r\nhi\r\n"


def test_eight_bit_text_without_mime_claims_no_charset() -> None:
    """A claim of us-ascii would turn every umlaut into a question mark."""
    _, entity = payload.enclosed(b"From: a@b.example\r\n", Octets("hü\r\n".encode()))

    assert join(entity).startswith(b"Content-Type: text/plain\r\n\r\n")


def test_mime_version_stands_once() -> None:
    """Two MIME-Version fields make some relays refuse the message."""
    outside, _ = payload.enclosed(HEADER, Octets(b""))

    assert payload.wrapped(outside, b"Content-Type: a/b\r\n").lower().count(b"mime-version") == 1
    assert payload.wrapped(b"", b"").count(b"MIME-Version: 1.0\r\n") == 1


def test_inner_fields_replace_the_outer_ones() -> None:
    """A left-over outer Content-Type would show base64 as text, or an attacker's charset."""
    header = b"Subject: x\r\nContent-Type: application/pkcs7-mime\r\nContent-Description: evil\r\n"

    disclosed = payload.disclosed(header, b"Content-Type: text/html\r\nSubject: inner\r\n")

    assert disclosed == b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n"


def test_inner_fields_cannot_smuggle_line_ends() -> None:
    """A bare LF in a decrypted header would become a header line of the next server's choice."""
    disclosed = payload.disclosed(b"", b"Content-Type: text/plain;\n charset=x\rEvil: yes\n")

    assert disclosed.count(b"\n") == disclosed.count(b"\r\n") == disclosed.count(b"\r")


def test_inner_fields_cannot_smuggle_nul() -> None:
    """Garbage decrypted by a guessed key ends every session with the company's mail server."""
    disclosed = payload.disclosed(b"", b"Content-Type: text/plain; charset=a\0b\r\n")

    assert disclosed.endswith(b"charset=a b\r\n")


def test_foreign_fields_are_named_once() -> None:
    """Protected header fields must be visible to whoever compares them, never their values."""
    inner = b"Content-Type: text/plain\r\nSubject: secret\r\nsubject: x\r\nMIME-Version: 1.0\r\n"

    assert payload.foreign(inner) == ("subject",)


def test_what_comes_out_can_go_over_smtp() -> None:
    """A bare LF from an envelope is refused by the next server, or smuggles a message."""
    header, body = payload.transportable(
        b"Content-Type: text/plain\r\n", Octets(b"one\ntwo\r\nthree\rfour\r\n")
    )

    octets = join(body)
    assert header.startswith(b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n")
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")


def test_binary_parts_keep_their_octets() -> None:
    """A zip file sent binary inside an envelope must not be mended as if it were text."""
    data = bytes(range(256)) * 4
    header, body = payload.transportable(
        b"Content-Type: application/zip\r\nContent-Transfer-Encoding: binary\r\n", Octets(data)
    )

    assert b"Content-Transfer-Encoding: base64\r\n" in header
    assert base64.b64decode(join(body)) == data
