"""Address lists of header fields (RFC 5322 section 3.4): who is the author, who is addressed.

Only addresses come out: display names, comments, groups and routes are read past,
and an entry that is no address is skipped.  One pass, without backtracking.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.mail.field import every, first

MAXIMUM_MAILBOXES = 10_000

_PLAIN = re.compile(r'[^ \t\r\n"\[\]()<>,;:@\\]+')
_SPACE = re.compile(r"[ \t\r\n]+")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_LITERAL = re.compile(r"\[[^\[\]\\\r\n]*\]")
_APART = re.compile(r"[\s\"\[\]()<>,;:]+")
_COMMENT = re.compile(r"[()\\]")


def mailboxes(value: bytes) -> tuple[Mailbox, ...]:
    """The mailboxes of an address list, in order; what is malformed is skipped."""
    entries = islice(_entries(tokens(value.decode("utf-8", "replace"))), MAXIMUM_MAILBOXES)
    found = (_mailbox(entry) for entry in entries)
    return tuple(mailbox for mailbox in found if mailbox is not None)


def author(header: bytes) -> Mailbox | None:
    """The first mailbox of the first From field (RFC 5322 section 3.6.2)."""
    field = first(header, "From")
    found = mailboxes(field.value) if field else ()
    return found[0] if found else None


def authors(header: bytes) -> tuple[Mailbox, ...]:
    """Everybody a reader could take for an author, by address or by what a name shows."""
    fields = every(header, "From")
    found = (one for each in fields for one in (*mailboxes(each.value), *seen(each.text)))
    return tuple(dict.fromkeys(islice(found, MAXIMUM_MAILBOXES)))


def seen(text: str) -> tuple[Mailbox, ...]:
    """Every address a reader sees in a decoded field, be it in a name or a comment.

    "boss@example.com <eve@example.net>" shows two, and a mail program perhaps the wrong one
    ("Johnny, you are fired", 2019).  Characters that only look like @ and letters count.
    """
    words = _APART.split(unicodedata.normalize("NFKC", text))
    found = (_parsed(word.strip("'`.")) for word in words if "@" in word)
    return tuple(islice((one for one in found if one is not None), MAXIMUM_MAILBOXES))


def tokens(text: str) -> Iterator[str]:
    """Lexical tokens of RFC 5322 section 3.2 without comments; white space is one " ".

    A quoted string keeps its quotes.  An unterminated one, or an unterminated comment,
    ends the value: guessing where it was meant to end would be an attacker's choice.
    """
    position = 0
    while position < len(text):
        character = text[position]
        if match := _PLAIN.match(text, position):
            yield match[0]
            position = match.end()
        elif match := _SPACE.match(text, position):
            yield " "
            position = match.end()
        elif character == "(":
            position = after_comment(text, position)
        elif character in '"[':
            match = (_QUOTED if character == '"' else _LITERAL).match(text, position)
            if match is None:
                return
            yield match[0]
            position = match.end()
        else:
            yield character
            position += 1


def after_comment(text: str, position: int) -> int:
    """Where the comment that opens here ends; comments nest (RFC 5322 section 3.2.2)."""
    depth = 0
    while match := _COMMENT.search(text, position):
        position = match.end() + (match[0] == "\\")
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0:
            return position
    return len(text)


def _entries(stream: Iterator[str]) -> Iterator[list[str]]:
    """Split at commas and group ends; inside <> a comma belongs to a route (section 4.4)."""
    entry: list[str] = []
    angle = False
    for lexeme in stream:
        angle = lexeme == "<" or (angle and lexeme != ">")
        if lexeme in ",;" and not angle:
            if entry:
                yield entry
            entry = []
        elif lexeme == ":" and not angle:
            entry = []  # what stood before was a group's name
        elif entry or lexeme != " ":
            entry.append(lexeme)
    if entry:
        yield entry


def _mailbox(entry: list[str]) -> Mailbox | None:
    if "<" in entry:
        if entry.count("<") != 1 or entry.count(">") > 1:
            return None
        inner = entry[entry.index("<") + 1 :]
        entry = inner[: inner.index(">")] if ">" in inner else inner
        if ":" in entry:  # an obsolete route: <@a,@b:local@domain>
            entry = entry[len(entry) - entry[::-1].index(":") :]
    return _parsed("".join(entry).strip(" "))


def _parsed(text: str) -> Mailbox | None:
    try:
        return Mailbox.parse(text) if "\ufffd" not in text else None
    except Malformed:
        return None
