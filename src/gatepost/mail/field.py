"""Header fields, sliced by bytes (RFC 5322 section 2.2).

Reading never changes a header; an edit changes the named field and no other octet.
A composed field is folded, and a line break smuggled into a value is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from gatepost.errors import LimitExceeded, Malformed
from gatepost.mail import word

MAXIMUM_FIELDS = 10_000
MAXIMUM_LINE = 998  # RFC 5322 section 2.1.1, without CRLF
PREFERRED_LINE = 78
_CACHED = 64 * 1024

# RFC 5322 section 2.2: a name of printable ASCII, a colon, and lines that begin with white space.
# Section 4.5 lets white space stand before the colon.  Lines that are no field are stepped over.
_FIELD = re.compile(rb"(?m)^([!-9;-~]+)[ \t]*(:)[^\n]*(?:\n[ \t][^\n]*)*\n?")
_NAME = re.compile(r"[!-9;-~]{1,200}\Z")
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_WORD = re.compile(r"[ \t]*[^ \t]+")
_BREAK = re.compile(r"[\r\n\0]")

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


Entry = tuple[bytes, int, int]


class Field(NamedTuple):
    """One field: `raw` is header[start:stop], line end included."""

    name: str
    raw: bytes
    start: int
    stop: int

    @property
    def value(self) -> bytes:
        """The value unfolded (RFC 5322 section 2.2.3), without white space around it."""
        return unfolded(self.raw)

    @property
    def text(self) -> str:
        """The value as text for people: encoded words decoded, no control characters."""
        return word.decode(self.value)


def unfolded(raw: bytes) -> bytes:
    """The value of a field (RFC 5322 section 2.2.3), without white space around it."""
    value = raw[raw.index(b":") + 1 :]
    return value.replace(b"\r\n", b"").replace(b"\n", b"").strip(b" \t\r")


def spans(header: bytes) -> tuple[Entry, ...]:
    """Name in lower case, start and stop of every field in order: enough to sort them."""
    return _index(header)


def fields(header: bytes) -> tuple[Field, ...]:
    """Every field in order; lines that are none (an mbox `From ` line) are left out."""
    return tuple([_field(header, *entry) for entry in _index(header)])


def every(header: bytes, name: str) -> tuple[Field, ...]:
    """The fields of this name, in order."""
    key = _key(name)
    return tuple([_field(header, *entry) for entry in _index(header) if entry[0] == key])


def first(header: bytes, name: str) -> Field | None:
    """The first field of this name."""
    key = _key(name)
    for entry in _index(header):
        if entry[0] == key:
            return _field(header, *entry)
    return None


def without(header: bytes, *names: str) -> bytes:
    """The header less every field of these names."""
    keys = {_key(name) for name in names}
    return cut(header, [(start, stop) for key, start, stop in _index(header) if key in keys])


def cut(header: bytes, spans: list[tuple[int, int]]) -> bytes:
    """The header less these ascending spans."""
    if not spans:
        return header
    position, kept = 0, []
    for start, stop in spans:
        kept.append(header[position:start])
        position = stop
    kept.append(header[position:])
    return b"".join(kept)


def replaced(header: bytes, name: str, value: bytes | str) -> bytes:
    """The header with this value in place of the first such field; further ones go.

    Where there is none the field is put last.
    """
    key, new = _key(name), compose(name, value)
    spans = [(start, stop) for found, start, stop in _index(header) if found == key]
    if not spans:
        return (header if not header or header.endswith(b"\n") else header + b"\r\n") + new
    (start, stop), *others = spans
    return header[:start] + new + cut(header[stop:], [(a - stop, b - stop) for a, b in others])


def prepended(header: bytes, name: str, value: bytes | str) -> bytes:
    """The header with a new field at its top, where trace fields go (RFC 5321 section 4.4)."""
    return compose(name, value) + header


def compose(name: str, value: bytes | str) -> bytes:
    """One field with its CRLF, folded at 78 columns; raises Malformed.

    A `str` gets encoded words (RFC 2047) for what is not ASCII or does not fit a line; its
    ASCII words, encoded ones among them, stay.  `bytes` stay as they are, folding apart.
    """
    if not _NAME.match(name):
        raise Malformed(f"{name[:80]!r} is not a field name")
    raw = isinstance(value, bytes)
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    text = _FOLD.sub("", text).strip(" \t") if "\n" in text else text.strip(" \t")
    if _BREAK.search(text):
        raise Malformed(f"the value of field {name} has a line break or NUL in it")
    if not raw and not _readable(text):
        text = _encoded(text)
    lines = _folded(name, text) if len(name) + 2 + len(text) > PREFERRED_LINE else f"{name}: {text}"
    return lines.encode("latin-1" if raw else "ascii") + b"\r\n"


def date(moment: datetime) -> str:
    """An RFC 5322 section 3.3 date-time in UTC."""
    utc = moment.astimezone(UTC)
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day} {_MONTHS[utc.month - 1]} {utc.year:04d} "
        f"{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d} +0000"
    )


def _index(header: bytes) -> tuple[Entry, ...]:
    return _cached(header) if len(header) <= _CACHED else _scanned(header)


def _scanned(header: bytes) -> tuple[Entry, ...]:
    matches = islice(_FIELD.finditer(header), MAXIMUM_FIELDS + 1)
    found = tuple([(match[1].lower(), *match.span()) for match in matches])
    if len(found) > MAXIMUM_FIELDS:
        raise LimitExceeded(f"header has more than {MAXIMUM_FIELDS} fields")
    return found


_cached = lru_cache(maxsize=16)(_scanned)  # one message's header is asked about many times


def _field(header: bytes, key: bytes, start: int, stop: int) -> Field:
    raw = header[start:stop]
    return Field(raw[: len(key)].decode("ascii"), raw, start, stop)


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return name.lower().encode("ascii", "replace")


def _folded(name: str, text: str) -> str:
    """Break before white space, so that unfolding gives the value back octet by octet."""
    lines, line = [], f"{name}:"
    for token in _WORD.findall(f" {text}"):
        if len(line) + len(token) > PREFERRED_LINE and len(line) > len(name) + 1:
            lines.append(line)
            line = ""
        line += token
        if len(line) > MAXIMUM_LINE:
            raise Malformed(f"the value of field {name} has a word longer than a line may be")
    return "\r\n".join([*lines, line])


def _readable(text: str) -> bool:
    return text.isascii() and len(text) < MAXIMUM_LINE - PREFERRED_LINE


def _encoded(text: str) -> str:
    """Encode each run of words that are not ASCII; the words between stay readable."""
    tokens: list[str] = []
    run: list[str] = []
    for token in text.split(" "):
        if _readable(token) and (token or not run):  # white space inside a run is encoded with it
            tokens += [word.encode(" ".join(run))] * bool(run) + [token]
            run = []
        else:
            run.append(token)
    tokens += [word.encode(" ".join(run))] * bool(run)
    return " ".join(tokens)
