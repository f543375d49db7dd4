"""Search filters of LDAP: from text (RFC 4515) to octets (RFC 4511 section 4.5.1.7).

The text is an administrator's and is read once.  What comes from mail stands in for %s only
after that, inside the octets of one value, where no character of it means anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Protocol

from gatepost.cms.der import octet_string, tlv
from gatepost.errors import Malformed

MAXIMUM: Final = 2048  # characters of a filter
MAXIMUM_DEPTH: Final = 8
PLACE: Final = "%s"  # where the address stands

_JOINED: Final = {"&": 0xA0, "|": 0xA1}
_NOT, _EQUAL, _SUBSTRINGS, _PRESENT, _EXTENSIBLE = 0xA2, 0xA3, 0xA4, 0x87, 0xA9
_COMPARED: Final = {"=": _EQUAL, ">=": 0xA5, "<=": 0xA6, "~=": 0xA8}
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE = 0x81, 0x82, 0x83  # of a MatchingRuleAssertion

_ITEM = re.compile(
    r"\((?P<type>[A-Za-z0-9.;-]{1,200})(?::(?P<rule>[A-Za-z0-9.-]{1,200}):)?"
    r"(?P<sign>[<>~]?=)(?P<value>[^()\0]*)\)"
)
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2})?")


class Filter(Protocol):
    """A filter whose %s is still open."""

    def encoded(self, value: bytes) -> bytes:
        """The filter's octets with this value at its %s."""
        ...


@dataclass(frozen=True, slots=True)
class _Text:
    """A primitive whose octets have the value between each two pieces."""

    tag: int
    pieces: tuple[bytes, ...]

    def encoded(self, value: bytes) -> bytes:
        return tlv(self.tag, value.join(self.pieces))


@dataclass(frozen=True, slots=True)
class _Around:
    """An element around others."""

    tag: int
    parts: tuple[Filter, ...]

    def encoded(self, value: bytes) -> bytes:
        return tlv(self.tag, *(one.encoded(value) for one in self.parts))


def parsed(text: str) -> Filter:
    """Read a filter such as "(&(objectClass=person)(mail=%s))"; raises Malformed."""
    if len(text) > MAXIMUM:
        raise Malformed(f"the filter has more than {MAXIMUM} characters")
    found, end = _parsed(text, 0, 0)
    if end != len(text):
        raise Malformed(f"the filter goes on after its end: {text[end : end + 20]!r}")
    return found


def equality(name: str, value: bytes) -> bytes:
    """A filter for one attribute that has this value."""
    return tlv(_EQUAL, octet_string(name.encode()), octet_string(value))


def present(name: str) -> bytes:
    """A filter for what has this attribute at all."""
    return tlv(_PRESENT, name.encode())


def either(*filters: bytes) -> bytes:
    """A filter for what any of these finds."""
    return tlv(_JOINED["|"], *filters)


def _parsed(text: str, at: int, depth: int) -> tuple[Filter, int]:
    if depth > MAXIMUM_DEPTH:
        raise Malformed(f"the filter is nested more than {MAXIMUM_DEPTH} deep")
    sign = text[at + 1 : at + 2] if text[at : at + 1] == "(" else ""
    if sign not in {"&", "|", "!"}:
        return _item(text, at)
    parts: list[Filter] = []
    at += 2
    while text[at : at + 1] == "(":
        part, at = _parsed(text, at, depth + 1)
        parts.append(part)
    if text[at : at + 1] != ")" or not parts or (sign == "!" and len(parts) > 1):
        raise Malformed(f"the filter has no end of ({sign}: {text[at : at + 20]!r}")
    return _Around(_NOT if sign == "!" else _JOINED[sign], tuple(parts)), at + 1


def _item(text: str, at: int) -> tuple[Filter, int]:
    match = _ITEM.match(text, at)
    if match is None:
        raise Malformed(f'expected a filter such as "(mail=%s)", found {text[at : at + 20]!r}')
    name, rule, sign, value = match["type"], match["rule"], match["sign"], match["value"]
    if rule is not None:
        if sign != "=":
            raise Malformed("a filter with a matching rule has :=")
        parts = (_plain(_RULE, rule), _plain(_TYPE, name), _text(_VALUE, value))
        return _Around(_EXTENSIBLE, parts), match.end()
    if sign == "=" and value == "*":
        return _plain(_PRESENT, name), match.end()
    named = _plain(0x04, name)
    if sign == "=" and "*" in value:
        return _Around(_SUBSTRINGS, (named, _substrings(value))), match.end()
    return _Around(_COMPARED[sign], (named, _text(0x04, value))), match.end()


def _substrings(value: str) -> Filter:
    first, *middle, last = value.split("*")
    parts = [_text(_INITIAL, first)] if first else []
    parts += [_text(_ANY, one) for one in middle if one]
    parts += [_text(_FINAL, last)] if last else []
    if not parts:
        raise Malformed("a filter of asterisks alone")
    return _Around(0x30, tuple(parts))


def _plain(tag: int, text: str) -> _Text:
    return _Text(tag, (text.encode(),))


def _text(tag: int, text: str) -> _Text:
    return _Text(tag, tuple(map(_unescaped, text.split(PLACE))))


def _unescaped(text: str) -> bytes:
    """RFC 4515 section 3: a backslash and two hexadecimal digits are an octet."""

    def octet(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise Malformed("a backslash in a filter stands before two hexadecimal digits")
        return bytes.fromhex(match[1].decode())

    return re.sub(_ESCAPE.pattern.encode(), octet, text.encode())
