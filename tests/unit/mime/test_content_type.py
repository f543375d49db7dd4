"""Content-Type: the boundary and the protocol decide what is verified."""

import time

import pytest

from gatepost.mail.field import compose
from gatepost.mime.content_type import (
    TEXT,
    ContentType,
    content_type,
    disposition,
    encoding,
    filename,
    parse,
)


@pytest.mark.parametrize(
    ("value", "essence", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        ("TEXT / Plain ; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        ("text/plain (a (b)) ; (c) charset=us-ascii (Plain text)", "text/plain", {"charset": "us-ascii"}),
        ('a/b; x="q\\"u; o=t"; y=2', "a/b", {"x": 'q"u; o=t', "y": "2"}),
        ("a/b charset=utf-8 name=x", "a/b", {"charset": "utf-8", "name": "x"}),
        ("a/b; charset=utf-8; charset=latin1", "a/b", {"charset": "utf-8"}),
        ("a/b; name=my file (1).pdf; x=y", "a/b", {"name": "my file .pdf", "x": "y"}),
        ("a/b; name=file(1).pdf", "a/b", {"name": "file(1).pdf"}),
        ('a/b; x="unterminated', "a/b", {"x": "unterminated"}),
        ("a/b;;; =x; y = z", "a/b", {"y": "z"}),
        ("a/b; name*=utf-8'de'%C3%A4.txt", "a/b", {"name": "ä.txt"}),
        ("a/b; name*1=b; name*0=a", "a/b", {"name": "ab"}),
        ("a/b; name*0*=iso-8859-1''%E4; name*1=%41; name*2*=%41", "a/b", {"name": "ä%41A"}),
        ("a/b; name*0=a; name*2=c", "a/b", {"name": "a"}),
        ("a/b; name=plain; name*=utf-8''%C3%A4", "a/b", {"name": "ä"}),
        ("a/b; boundary=plain; boundary*=utf-8''other", "a/b", {"boundary": "plain"}),
        ('a/b; name="=?utf-8?q?J=C3=B6rg?="', "a/b", {"name": "Jörg"}),
        ('a/b; boundary="=?utf-8?q?x?="', "a/b", {"boundary": "=?utf-8?q?x?="}),
        ("multipart; boundary=x", "multipart/mixed", {"boundary": "x"}),
        ("application; name=x", "application/octet-stream", {"name": "x"}),
    ],
)  # fmt: skip
def test_parse(value: str, essence: str, parameters: dict[str, str]) -> None:
    """Another mail program sees other parts than we verified."""
    found = parse(value.encode())
    assert found.essence == essence
    assert found.parameters == parameters


@pytest.mark.parametrize("value", ["", "text", ";", "/", "(", '"a/b"', "text;x=y"])
def test_nonsense_is_text(value: str) -> None:
    """RFC 2045 section 5.2: a broken type must not stop a mail."""
    assert parse(value.encode()) == TEXT


def test_content_type_defaults_to_text() -> None:
    """A mail without Content-Type is taken for an unknown file."""
    assert content_type(b"Subject: x\r\n") == TEXT
    digest = ContentType("message", "rfc822")
    assert content_type(b"", digest) == digest
    assert content_type(b"content-type: a/b\r\nContent-Type: c/d\r\n").essence == "a/b"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("Base64", "base64"), (" (c) 8BIT (d)", "8bit"), ('"7bit"', "7bit"), ("", "7bit"), ("8bit; x", "8bit")],
)  # fmt: skip
def test_encoding(value: str, expected: str) -> None:
    """A part is decoded twice, or not at all."""
    assert encoding(f"Content-Transfer-Encoding:{value}\r\n".encode()) == expected


def test_filename() -> None:
    """An S/MIME body sent as octet-stream is only known by its name (RFC 8551 section 3.2.1)."""
    header = b"Content-Type: application/octet-stream; name=a\r\n"
    assert filename(header) == "a"
    header += b"Content-Disposition: ATTACHMENT;\r\n filename*=utf-8''smime%2Ep7m; filename=b\r\n"
    assert filename(header) == "smime.p7m"
    assert disposition(header)[0] == "attachment"
    assert disposition(b"") == ("", {})
    assert filename(b"") == ""


def test_composed_types_read_back() -> None:
    """A quote in a file name ends the field early."""
    parameters = {"boundary": "=_x y", "name": 'a"b\\c;d', "filename": "Jörg 'x'.pdf", "micalg": "sha-256"}  # fmt: skip
    made = ContentType("multipart", "signed", parameters)
    assert made.compose().isascii()
    assert parse(made.compose().encode()) == made
    assert made.boundary == b"=_x y"


def test_composed_parameters_have_names() -> None:
    """A parameter nobody can write hides those after it in an encoded word."""
    kind = ContentType("text", "plain", {"n\u00e4me": "x", "charset": "utf-8"})
    assert kind.compose() == "text/plain; charset=utf-8"


@pytest.mark.parametrize("value", ["x" * 201, "ü" * 40, "long name " * 200, "%41" * 90])
def test_long_values_are_written_in_sections(value: str) -> None:
    """A file with a long name loses it, or its whole Content-Type."""
    kind = ContentType("application", "pdf", {"name": value, "x": "y"})
    made = compose("Content-Type", kind.compose().encode())
    assert all(len(line) <= 78 + 10 for line in made.split(b"\r\n"))
    assert content_type(made) == kind


def test_very_many_words_take_linear_time() -> None:
    """One mail with a header of a megabyte keeps a worker busy for a minute."""
    began = time.process_time()
    found = parse(b"multipart/mixed; boundary=x" + b";3" * 250_000)
    assert time.process_time() - began < 5
    assert found.get("boundary").startswith("x 3 3 3")
