"""Header fields: what is read, what an edit touches, what cannot be smuggled in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gatepost.errors import LimitExceeded, Malformed
from gatepost.mail.field import (
    MAXIMUM_FIELDS,
    compose,
    date,
    every,
    fields,
    first,
    prepended,
    replaced,
    spans,
    without,
)

HEADER = (
    b"From alice@example.org Mon Jun  1 12:00:00 2026\r\n"
    b"Received: from a\r\n by b\r\n"
    b"Subject:no space\r\n"
    b"X-Odd : space before the colon\r\n"
    b"received: second\r\n"
    b"X-Wide: gr\xc3\xbc\xc3\x9fe\r\n"
    b"X-Empty:\r\n"
    b"To: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\n"
)


def test_fields_are_found_with_their_spans() -> None:
    """A field's span is wrong by one octet: an edit destroys its neighbour."""
    found = fields(HEADER)
    names = ["Received", "Subject", "X-Odd", "received", "X-Wide", "X-Empty", "To"]
    assert [field.name for field in found] == names
    assert all(HEADER[field.start : field.stop] == field.raw for field in found)
    assert found[0].value == b"from a by b"
    assert found[2].value == b"space before the colon"
    assert found[4].text == "grüße"
    assert found[5].value == b""
    assert found[6].text == "Jörg <joerg@example.org>"


def test_first_and_every_ignore_case() -> None:
    """`received:` and `Received:` are one name; missing one hides a mail loop."""
    assert len(every(HEADER, "RECEIVED")) == 2
    subject = first(HEADER, "subject")
    assert subject is not None
    assert subject.value == b"no space"
    assert first(HEADER, "Sub") is None


def test_without_touches_nothing_else() -> None:
    """Removing a field rewraps another: a DKIM signature over it breaks."""
    left = without(HEADER, "Received", "X-Empty")
    assert left == HEADER.replace(b"Received: from a\r\n by b\r\n", b"").replace(
        b"received: second\r\n", b""
    ).replace(b"X-Empty:\r\n", b"")
    assert without(HEADER, "X-None") is HEADER


def test_replaced_stays_in_place_and_leaves_one() -> None:
    """Two Content-Type fields after an edit: two readers see two different messages."""
    made = replaced(HEADER, "Received", b"new")
    assert made == HEADER.replace(b"Received: from a\r\n by b\r\n", b"Received: new\r\n").replace(
        b"received: second\r\n", b""
    )


def test_replaced_appends_what_is_missing() -> None:
    """A field put after an unfinished last line becomes part of that line."""
    assert replaced(b"A: b\r\n", "C", "d") == b"A: b\r\nC: d\r\n"
    assert replaced(b"A: b", "C", "d") == b"A: b\r\nC: d\r\n"
    assert replaced(b"", "C", "d") == b"C: d\r\n"


def test_prepended_stands_on_top() -> None:
    """Trace fields out of order make a mail's way unreadable."""
    assert prepended(b"A: b\r\n", "C", "d") == b"C: d\r\nA: b\r\n"


@pytest.mark.parametrize("value", ["a\nBcc: x", "a\rBcc: x", "a\r\nBcc: x", "a\0b", "a\n", "a\r\n"])
@pytest.mark.parametrize("kind", [str, bytes])
def test_a_line_break_is_refused(value: str, kind: type) -> None:
    """A subject with a line break in it adds a Bcc of the attacker's choice."""
    with pytest.raises(Malformed):
        compose("Subject", value.encode() if kind is bytes else value)


@pytest.mark.parametrize("name", ["", "A B", "A:", "Ä", "A\r\nB", "A\n"])
def test_a_bad_name_is_refused(name: str) -> None:
    """A name from a setting breaks the header."""
    with pytest.raises(Malformed):
        compose(name, "x")


def test_a_folded_value_is_folded_anew() -> None:
    """A value taken from another field, folds included, cannot be used again."""
    assert compose("Subject", b"a\r\n b\n\tc") == b"Subject: a b\tc\r\n"


def test_folding_keeps_lines_short_and_the_value_whole() -> None:
    """A relay cuts a line that is too long."""
    value = " ".join(f"word{number}" for number in range(100))
    made = compose("Subject", value)
    assert max(map(len, made.split(b"\r\n"))) <= 78
    found = first(made, "Subject")
    assert found is not None
    assert found.value.decode() == value


def test_a_word_longer_than_a_line_is_refused() -> None:
    """RFC 5322 section 2.1.1 forbids the line, and breaking the word would alter it."""
    with pytest.raises(Malformed):
        compose("X-Long", b"x" * 1000)
    assert compose("X-Long", b"x" * 900).count(b"\r\n") == 1


def test_a_long_word_of_text_is_encoded() -> None:
    """A subject of one endless word stops its mail."""
    made = compose("Subject", "a " + "x" * 2000 + " b")
    found = first(made, "Subject")
    assert found is not None
    assert found.text == "a " + "x" * 2000 + " b"
    assert max(map(len, made.split(b"\r\n"))) <= 78


def test_encoded_words_are_not_encoded_again() -> None:
    """A subject somebody else encoded is shown as =?utf-8?q?… to people."""
    value = "=?utf-8?q?J=C3=B6rg?= <joerg@example.org>"
    assert compose("To", value) == f"To: {value}\r\n".encode()


def test_text_is_encoded_where_needed_only() -> None:
    """Subjects arrive as question marks, or as mojibake at old clients."""
    made = compose("Subject", "Grüße aus Köln, ganz ohne Umlaute hier =?x?= " + "ß" * 60)
    assert made.isascii()
    assert b"ganz ohne\r\n Umlaute hier" in made
    found = first(made, "Subject")
    assert found is not None
    assert found.text == "Grüße aus Köln, ganz ohne Umlaute hier =?x?= " + "ß" * 60


def test_too_many_fields_are_refused() -> None:
    """One mail with a million fields keeps a worker busy for minutes."""
    with pytest.raises(LimitExceeded):
        fields(b"a:\r\n" * (MAXIMUM_FIELDS + 1))
    assert len(fields(b"a:\r\n" * MAXIMUM_FIELDS)) == MAXIMUM_FIELDS


def test_lf_only_headers_are_read() -> None:
    """A file written on Unix is not a mail without fields."""
    found = first(b"A: b\nSubject: x\n y\nC: d\n", "subject")
    assert found is not None
    assert found.value == b"x y"


def test_a_bare_cr_hides_no_field() -> None:
    """A bare CR must neither start a field nor end up in text shown to people."""
    found = fields(b"Subject: a\rBcc: x\r\n")
    assert [field.name for field in found] == ["Subject"]
    assert found[0].text == "a Bcc: x"


def test_dates_are_in_utc() -> None:
    """A date in the host's language or zone is refused by strict readers."""
    moment = datetime(2026, 6, 1, 1, 2, 3, tzinfo=timezone(timedelta(hours=2)))
    assert date(moment) == "Sun, 31 May 2026 23:02:03 +0000"
    assert date(datetime(2026, 6, 1, tzinfo=UTC)) == "Mon, 1 Jun 2026 00:00:00 +0000"


def test_spans() -> None:
    """A field is sorted to the wrong side, and its octets change on the way."""
    header = b"From mbox\r\nSUBJECT : a\r\n b\r\nX-Empty:\r\nlast: c"
    found = spans(header)
    assert [name for name, _, _ in found] == [b"subject", b"x-empty", b"last"]
    assert [header[start:stop] for _, start, stop in found] == [one.raw for one in fields(header)]
    assert b"".join(header[start:stop] for _, start, stop in found) == header[11:]
