"""What an entity says it is: Content-Type, its parameters and its transfer encoding.

RFC 2045 section 5, RFC 2231 (continued and encoded parameters) and RFC 2183 (file names).
A reader must cope: comments, missing semicolons, spaces in bare values; the first of
two equal parameters counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from gatepost.mail import word
from gatepost.mail.field import first
from gatepost.mail.mailbox_list import after_comment

MAXIMUM_PARAMETERS = 1_000
MAXIMUM_REMEMBERED = 512  # octets of a value

_TYPE = re.compile(r"([!#-'*+\-.0-9A-Z^-~]+)[ \t]*/[ \t]*([!#-'*+\-.0-9A-Z^-~]+)")
_PARAMETER = re.compile(r'([^\s;="()]+)[ \t]*=[ \t]*')
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"?', re.DOTALL)
_BARE = re.compile(r"[^\s;]+")
_CODING = re.compile(r'[^\s;()"]+')
_KIND = re.compile(r"[^\s;]*")
_GAP = re.compile(r"[\s;]+")
_SECTION = re.compile(r"([^*]+)(?:\*([0-9]{1,4}))?(\*)?\Z")
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+\Z")  # RFC 2045 section 5.1
_PIECE = re.compile(r"(?:%..|[^%]){1,20}")
_LONG = 200  # of a value: what is longer is written in sections
_LONELY = frozenset({"multipart", "application", "image", "audio", "video"})
_SHOWN = frozenset({"name", "filename"})  # for people: extended forms and encoded words count


@dataclass(frozen=True, slots=True)
class ContentType:
    """A media type, its words in lower case."""

    type: str
    subtype: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def essence(self) -> str:
        """The type without parameters: "multipart/signed"."""
        return f"{self.type}/{self.subtype}"

    @property
    def boundary(self) -> bytes:
        """The delimiter's boundary (RFC 2046 section 5.1.1); empty where none is given."""
        return self.parameters.get("boundary", "").rstrip(" \t").encode("utf-8", "replace")

    def get(self, name: str, default: str = "") -> str:
        """A parameter's value by its name in lower case."""
        return self.parameters.get(name, default)

    def compose(self) -> str:
        """The value of a Content-Type field; what a parameter cannot be called is left out."""
        named = (pair for pair in self.parameters.items() if _TOKEN.match(pair[0]))
        return "; ".join([self.essence, *(_composed(*pair) for pair in named)])


TEXT = ContentType("text", "plain", {"charset": "us-ascii"})  # RFC 2045 section 5.2


def content_type(header: bytes, default: ContentType = TEXT) -> ContentType:
    """The type an entity's header declares; the default where it says none or nonsense."""
    found = first(header, "Content-Type")
    return parse(found.value, default) if found else default


def parse(value: bytes, default: ContentType = TEXT) -> ContentType:
    """The type in a Content-Type field's value."""
    found = _remembered(value) if len(value) <= MAXIMUM_REMEMBERED else _parsed(value)
    return default if found is None else found


def _parsed(value: bytes) -> ContentType | None:
    """What the value says, None where it says nothing."""
    text = word.raw_text(value)
    start = _past(text, 0)
    match = _TYPE.match(text, start)
    if match is None:
        return _without_subtype(text[start:])
    return ContentType(match[1].lower(), match[2].lower(), parameters(text[match.end() :]))


_remembered = lru_cache(maxsize=1024)(_parsed)  # one message is asked for its type often


def _without_subtype(text: str) -> ContentType | None:
    """RFC 2045 section 5.2 reads a broken type as text; but what says it is no text is none."""
    match = _BARE.match(text)
    kind = match[0].lower() if match else ""
    if kind not in _LONELY:
        return None
    subtype = "mixed" if kind == "multipart" else "octet-stream"
    major = kind if kind == "multipart" else "application"
    return ContentType(major, subtype, parameters(text[len(kind) :]))


def encoding(header: bytes) -> str:
    """The content transfer encoding in lower case; "7bit" where none is given (section 6.1)."""
    found = first(header, "Content-Transfer-Encoding")
    if found is None:
        return "7bit"
    text = word.raw_text(found.value)
    match = _CODING.match(text, _past(text, 0))
    return match[0].lower() if match else "7bit"


def disposition(header: bytes) -> tuple[str, Mapping[str, str]]:
    """Content-Disposition (RFC 2183): "inline", "attachment" or "", and its parameters."""
    found = first(header, "Content-Disposition")
    if found is None:
        return "", {}
    text = word.raw_text(found.value)
    match = _KIND.match(text, _past(text, 0))
    return (match[0].lower(), parameters(text[match.end() :])) if match else ("", {})


def filename(header: bytes) -> str:
    """The name an entity suggests for itself; "" where it has none."""
    given = disposition(header)[1].get("filename", "")
    return given or content_type(header).get("name")


def parameters(text: str) -> dict[str, str]:
    """The parameters that follow a type or disposition."""
    raw: list[tuple[str, list[str]]] = []
    position = _past(text, 0)
    while position < len(text) and len(raw) < MAXIMUM_PARAMETERS:
        if match := _PARAMETER.match(text, position):
            value, position = _value(text, match.end())
            raw.append((match[1].lower(), [value]))
        else:  # a bare value with spaces in it goes on, or a word means nothing
            match = _BARE.match(text, position)
            position = match.end() if match else position + 1
            if raw and match:
                raw[-1][1].append(match[0])
        position = _past(text, position)
    return _merged([(name, " ".join(words)) for name, words in raw])


def _past(text: str, position: int) -> int:
    """Step over white space, semicolons and comments."""
    while position < len(text):
        if match := _GAP.match(text, position):
            position = match.end()
        elif text[position] == "(":
            position = after_comment(text, position)
        else:
            break
    return position


def _value(text: str, position: int) -> tuple[str, int]:
    if text[position : position + 1] == '"' and (match := _QUOTED.match(text, position)):
        inner = match[1]
        return (re.sub(r"\\(.)", r"\1", inner) if "\\" in inner else inner), match.end()
    match = _BARE.match(text, position)
    return (match[0], match.end()) if match else ("", position)


def _merged(raw: list[tuple[str, str]]) -> dict[str, str]:
    """Put continued and encoded parameters together (RFC 2231 sections 3 and 4)."""
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, value in raw:
        match = _SECTION.match(name)
        if match is None or not (match[2] or match[3]):
            plain.setdefault(name, value)
        else:
            numbered = sections.setdefault(match[1], {})
            numbered.setdefault(int(match[2] or 0), (value, bool(match[3])))
    merged = {name: _shown(name, value) for name, value in plain.items()}
    for name, numbered in sections.items():
        if name not in merged or name in _SHOWN:
            merged[name] = _joined(numbered)
    return merged


def _joined(numbered: Mapping[int, tuple[str, bool]]) -> str:
    charset, octets = "", []
    for number in range(len(numbered)):
        if number not in numbered:
            break
        value, extended = numbered[number]
        if extended and not charset and value.count("'") >= 2:
            charset, _, value = value.split("'", 2)
        encoded = value.encode("utf-8", "replace")
        octets.append(unquote_to_bytes(encoded) if extended else encoded)
    return word.clean(word.in_charset(b"".join(octets), charset or "utf-8"))


def _shown(name: str, value: str) -> str:
    if name in _SHOWN and "=?" in value:  # RFC 2047 section 5 forbids it, senders do it
        return word.decode(value.encode("utf-8", "replace"))
    return value


def _composed(name: str, value: str) -> str:
    if not value.isascii() or len(value) > _LONG:
        return _extended(name, quote(value, safe=""))
    if _TOKEN.match(value) and name != "boundary":
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def _extended(name: str, coded: str) -> str:
    """Encoded, and if need be in several sections, which a line break may part (RFC 2231)."""
    if len(coded) <= _LONG:
        return f"{name}*=utf-8''{coded}"
    first, *more = _PIECE.findall(coded)
    rest = (f"{name}*{number}*={piece}" for number, piece in enumerate(more, start=1))
    return "; ".join((f"{name}*0*=utf-8''{first}", *rest))
