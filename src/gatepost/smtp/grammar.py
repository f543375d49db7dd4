"""Paths, parameters and xtext of SMTP commands (RFC 5321 section 4.1.2, RFC 3461 section 4).

Strict, with two tolerances every receiver grants: white space after the colon of
`FROM:` and `TO:`, and source routes, which are read and forgotten (appendix C).
"""

from __future__ import annotations

import re
from typing import Final

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox

MAXIMUM_PATH: Final = 256  # RFC 5321 section 4.5.3.1.3, with the brackets
_KEYWORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\Z")
# RFC 5321: esmtp-value = 1*(%d33-60 / %d62-126); UTF-8 by RFC 6531 section 3.3.
_VALUE: Final = re.compile("[\x21-\x3c\x3e-\x7e\u0080-\U0010ffff]+\\Z")
# RFC 3461 section 4: xtext = *( xchar / hexchar ), hexchar = "+" and two capital hex digits.
_XTEXT: Final = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_HEXCHAR: Final = re.compile(r"\+([0-9A-F]{2})")
_NEEDS_HEX: Final = re.compile(r"[^!-*,-<>-~]")


def split_path(text: str) -> tuple[str, str]:
    """Split `<path> rest` into what stands between the brackets and the rest."""
    text = text.lstrip(" ")
    if not text.startswith("<"):
        raise Malformed("path does not begin with <")
    stop = _closing_bracket(text)
    inside, rest = text[1:stop], text[stop + 1 :]
    if rest and rest[0] != " ":
        raise Malformed("no space after the path")
    return _without_route(inside), rest.strip(" ")


def _closing_bracket(text: str) -> int:
    """Where the path ends; a > inside a quoted local-part does not end it."""
    stop = text.find(">")
    quote = text.find('"')
    if quote < 0 or 0 <= stop < quote:
        if stop < 0:
            raise Malformed("path has no closing >")
        return stop
    quoted, position = False, 1
    while position < len(text):
        character = text[position]
        if quoted and character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == ">" and not quoted:
            return position
        position += 1
    raise Malformed("path has no closing >")


def _without_route(inside: str) -> str:
    """RFC 5321 section 4.1.1.3: relay hosts "SHOULD strip or ignore source routes"."""
    if inside.startswith("@"):
        route, colon, inside = inside.partition(":")
        if not colon or not all(hop.startswith("@") and hop[1:] for hop in route.split(",")):
            raise Malformed("malformed source route")
    return inside


def mailbox(inside: str) -> Mailbox:
    """Parse what stood between the brackets of a path."""
    if len(inside.encode()) > MAXIMUM_PATH - 2:
        raise Malformed("path is longer than 256 octets")
    return Mailbox.parse(inside)


def parameters(rest: str) -> dict[str, str | None]:
    """Parse ESMTP parameters into capital keywords and values; each may come once."""
    found: dict[str, str | None] = {}
    for word in rest.split():
        keyword, equals, value = word.partition("=")
        name = keyword.upper()
        if not _KEYWORD.match(keyword) or (equals and not _VALUE.match(value)):
            raise Malformed("malformed parameter")
        if name in found:
            raise Malformed("parameter given twice")
        found[name] = value if equals else None
    return found


def is_xtext(text: str) -> bool:
    """Whether the text is well-formed xtext."""
    return _XTEXT.match(text) is not None


def decode_xtext(text: str) -> str:
    """The octets xtext stands for, read as UTF-8 where they are."""
    if not is_xtext(text):
        raise Malformed("malformed xtext")
    octets = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), text).encode("latin-1")
    return octets.decode("utf-8", "replace")


def encode_xtext(text: str) -> str:
    """Encode any text as xtext."""
    latin = text.encode("utf-8").decode("latin-1")
    return _NEEDS_HEX.sub(lambda found: f"+{ord(found[0]):02X}", latin)


def domain(text: str) -> str:
    """The name a client gives itself by EHLO or HELO.

    RFC 5321 section 4.1.4: the server "MUST NOT refuse to accept a message on that
    basis" when it is wrong; only what could not be logged or traced is refused.
    """
    name = text.strip(" ")
    if not name or len(name) > 255 or not name.isprintable() or not name.isascii() or " " in name:
        raise Malformed("malformed host name")
    return name
