"""Tags in the Subject: find them, take them out, put them in (RFC 5322 section 3.6.5).

Found as a reader sees them: encoded words decoded, compatibility forms folded, invisible
characters skipped, case ignored.  A Subject without tag keeps every octet.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from gatepost.errors import Malformed
from gatepost.mail import word
from gatepost.mime import headers
from gatepost.mime.headers import Field

NAME = "Subject"
MAXIMUM_ROUNDS = 8  # "[se[secure]cure]": each removal may uncover one more
# What no reader sees beside zero-width and direction marks (Cf): fillers, joiners, variation
# selectors (Unicode's Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
MAXIMUM_LINE = 900  # of the first line, before a tag is put on a line of its own


def tagged(header: bytes, tags: Sequence[str]) -> bool:
    """Whether any Subject carries any of the tags."""
    return any(_found(field.text, tags) for field in headers.every(header, NAME))


def without(header: bytes, tags: Sequence[str]) -> bytes:
    """The header with these tags taken out of every Subject."""
    kept, position = [], 0
    for field in headers.every(header, NAME):
        if _found(field.text, tags):
            cleaned = _cut(field, tags) or _composed(_cleaned(field.text, tags))
            kept += [header[position : field.start], cleaned]
            position = field.stop
    return b"".join([*kept, header[position:]]) if kept else header


def prefixed(header: bytes, tag: str) -> bytes:
    """The header with a tag before the Subject; the subject's own octets stay."""
    shown = tag if tag.isascii() else word.encode(tag)
    field = headers.first(header, NAME)
    if field is None:
        return headers.prepended(header, NAME, shown)
    name, _, rest = field.raw.partition(b":")
    rest = rest if rest[:1] in (b" ", b"\t") else b" " + rest
    if len(rest.partition(b"\n")[0]) > MAXIMUM_LINE:
        shown += "\r\n"
    raw = name + b": " + shown.encode("ascii") + rest
    return header[: field.start] + raw + header[field.stop :]


def _cut(field: Field, tags: Sequence[str]) -> bytes | None:
    """The raw field less tags spelled plainly in it; None when that does not remove them all."""
    raw = field.raw
    for tag in tags:
        if tag and tag.isascii():
            plain = re.escape(tag.encode("ascii"))
            raw = re.sub(rb"(?i)(?<=[ \t:])" + plain + rb"[ \t]?", b"", raw)
    left = raw[raw.index(b":") + 1 :]
    if not left.strip() or any(not line.strip() for line in left.splitlines()):
        return None  # RFC 5322 section 2.2.3: no line of a field is only white space
    cut = headers.fields(raw)[0]
    return None if raw == field.raw or _found(cut.text, tags) else raw


def _cleaned(text: str, tags: Sequence[str]) -> str:
    for _ in range(MAXIMUM_ROUNDS):
        spans = _found(text, tags)
        if not spans:
            return text
        kept, position = [], 0
        for start, stop in spans:
            kept.append(text[position:start])
            position = stop
        text = " ".join("".join([*kept, text[position:]]).split())
    return ""  # a matryoshka of tags is no subject


def _composed(text: str) -> bytes:
    try:
        return headers.compose(NAME, text)
    except Malformed:  # a word longer than a line may be
        return headers.compose(NAME, word.encode(text))


def _found(text: str, tags: Sequence[str]) -> list[tuple[int, int]]:
    """Where tags stand in the text, without overlaps, in order."""
    wanted = sorted({folded for tag in tags if (folded := _folded(tag)[0])}, key=len, reverse=True)
    if not wanted:
        return []
    folded, places = _folded(text)
    pattern = re.compile("|".join(map(re.escape, wanted)))
    return [
        (places[match.start()], places[match.end() - 1] + 1) for match in pattern.finditer(folded)
    ]


def _folded(text: str) -> tuple[str, list[int]]:
    """The text as compared, and for each of its characters where it came from."""
    if text.isascii():
        simple = text.casefold()
        if "  " not in simple:
            return simple, list(range(len(simple)))
    kept: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if unicodedata.category(character) == "Cf" or _INVISIBLE.match(character):
            continue
        for one in unicodedata.normalize("NFKC", character).casefold():
            if one.isspace():
                if kept and kept[-1] == " ":
                    continue
                one = " "  # noqa: PLW2901  # every blank compares alike
            kept.append(one)
            places.append(place)
    return "".join(kept), places
