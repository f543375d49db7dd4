"""Tags in the Subject."""

import time

import pytest

from gatepost.flow import subject
from gatepost.mime import headers

TAGS = ("[secure]", "[vertraulich für dich]")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Subject: [secure] Hi\r\n", b"Subject: Hi\r\n"),
        (b"Subject:[SECURE]Hi\r\n", b"Subject:Hi\r\n"),
        (b"SUBJECT: Re: [Secure] Hi\r\n there\r\n", b"SUBJECT: Re: Hi\r\n there\r\n"),
        (b"Subject: [secure]\r\n", b"Subject: \r\n"),
        (b"Subject: Hi\r\n", b"Subject: Hi\r\n"),
        (b"Subject: [[secure]secure] Hi\r\n", b"Subject: Hi\r\n"),
        ("Subject: [Vertraulich für dich] Hi\r\n".encode(), b"Subject: Hi\r\n"),
        (b"Subject: [secure] a\r\nSubject: b [secure]\r\n", b"Subject: a\r\nSubject: b\r\n"),
    ],
)
def test_tags_go_and_nothing_else(raw: bytes, expected: bytes) -> None:
    """The tag stays in what the world reads, or the subject is mangled."""
    cleaned = subject.without(raw, TAGS)
    texts = [one.text.strip() for one in headers.every(cleaned, "Subject")]
    assert texts == [one.text.strip() for one in headers.every(expected, "Subject")]
    assert not subject.tagged(cleaned, TAGS)


def test_a_subject_without_tag_keeps_every_octet() -> None:
    """A DKIM signature breaks because a subject was re-encoded."""
    raw = b"Subject:  =?iso-8859-1?q?Gr=FC=DFe?=\r\n\tan   alle\r\nX: [secure]\r\n"
    assert subject.without(raw, TAGS) == raw
    assert subject.without(raw, ("",)) == raw


def test_a_matryoshka_of_tags_costs_little() -> None:
    """A crafted subject keeps a processor busy."""
    raw = b"Subject: " + b"[secure" * 20_000 + b"]" * 20_000 + b"\r\n"
    assert not subject.tagged(subject.without(raw, TAGS), TAGS)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Subject: Hi\r\n", b"Subject: [ok] Hi\r\n"),
        (b"Subject:Hi\r\n there\r\n", b"Subject: [ok] Hi\r\n there\r\n"),
        (b"Subject: =?utf-8?q?=C3=BC?=\r\n", b"Subject: [ok] =?utf-8?q?=C3=BC?=\r\n"),
        (b"From: a@b\r\n", b"Subject: [ok]\r\nFrom: a@b\r\n"),
        (b"Subject:" + b" x" * 480 + b"\r\n", b"Subject: [ok]\r\n" + b" x" * 480 + b"\r\n"),
    ],
)
def test_a_prefix_leaves_the_subject_itself(raw: bytes, expected: bytes) -> None:
    """A line grows longer than a relay takes, or an encoded word is broken."""
    assert subject.prefixed(raw, "[ok]") == expected


def test_a_prefix_may_be_in_any_language() -> None:
    """A tag with an umlaut breaks the header."""
    header = subject.prefixed(b"Subject: Hi\r\n", "[verschlüsselt]")
    assert header.isascii()
    field = headers.first(header, "Subject")
    assert field is not None
    assert field.text == "[verschlüsselt] Hi"


@pytest.mark.parametrize("invisible", "\ufe0f\u034f\u3164\u115f\u200b\u00ad\U000e0101")
def test_a_tag_with_nothing_visible_in_it(invisible: str) -> None:
    """A stranger writes what looks exactly like our mark."""
    header = f"Subject: [sec{invisible}ure] Hi\r\n".encode()
    assert subject.without(header, TAGS) == b"Subject: Hi\r\n"


def test_very_many_subjects() -> None:
    """One message stalls the gateway for a second."""
    header = b"Subject: [secure] %s\r\nX: y\r\n" % (b"x" * 180)
    before = time.process_time()
    assert b"secure" not in subject.without(header * 4900, TAGS)
    assert time.process_time() - before < 2
