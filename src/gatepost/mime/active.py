"""HTML that can send a mail's text elsewhere, and how to make it harmless (EFAIL, 2018).

Judged by a short list of what is harmless, not by a list of attacks; made harmless by its
label alone: the octets stay, as an attachment of plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gatepost.errors import LimitExceeded
from gatepost.mime import entity, headers
from gatepost.mime.entity import Entity

# What a reader's program renders, with whatever it refers to.
RENDERED = frozenset(
    {"text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"}
    | {"text/x-html", "text/enriched", "message/external-body", "multipart/x-mixed-replace"}
)
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
# Any tag but one of these, without attributes; "<" in another charset's octets is none either.
_ACTING = re.compile(
    rb"<(?!/?(?:html|head|title|body|p|br|div|span|b|i|u|em|strong|pre|ul|ol|li|h[1-6]|hr"
    rb"|blockquote|table|tbody|thead|tr|td|th|tt|code)[ \t\r\n]*/?>)",
    re.IGNORECASE,
)
_CHARSETS = re.compile(r"(?:us-ascii|utf-8|iso-8859-\d{1,2}|windows-125\d)?\Z", re.IGNORECASE)
_LABEL = b'Content-Disposition: attachment; filename="active-content.txt"\r\n'


def defused(octets: bytes) -> tuple[bytes, int]:
    """The entity with every part that could act turned into text, and how many those were."""
    try:
        root = entity.parse(octets)
    except LimitExceeded:  # what we will not look through, nobody's program should render
        root = entity.parse(octets.replace(b"\n--", b"\n=="), descend=False)
        return _labelled(root) + root.body, 1
    found = list(_outermost([one for one in entity.walk(root) if _acts(one)]))
    pieces, position = list[bytes](), 0
    for one in found:
        pieces += [octets[position : one.start], _labelled(one)]
        position = one.body_start
    return b"".join((*pieces, octets[position:])), len(found)


def _acts(one: Entity) -> bool:
    """Whether it could act for some reader, however he reads fields that stand there twice."""
    kinds = {headers.content_type(each.raw).essence for each in _every(one, "Content-Type")}
    kinds.add(one.content_type.essence)
    if kinds & _MESSAGES and not one.children:
        return True  # one that was not looked into
    if not kinds & RENDERED:
        return False
    plain = kinds == {"text/html"} and len(_every(one, "Content-Transfer-Encoding")) <= 1
    named = _CHARSETS.match(one.content_type.get("charset"))
    return not (plain and named) or _ACTING.search(entity.decoded(one)) is not None


def _every(one: Entity, name: str) -> list[headers.Field]:
    return list(headers.every(one.header, name))


def _outermost(found: list[Entity]) -> Iterator[Entity]:
    """Those that do not stand inside another one."""
    stop = -1
    for one in sorted(found, key=lambda each: each.start):
        if one.start >= stop:
            yield one
            stop = one.stop


def _labelled(one: Entity) -> bytes:
    """The header of a text file; the encoding stays as it is."""
    charset = one.content_type.get("charset")
    named = f"; charset={charset}" if charset and _CHARSETS.match(charset) else ""
    fields = headers.without(one.header, "Content-Type", "Content-Disposition")
    if fields and not fields.endswith(b"\n"):
        fields += b"\r\n"
    return b"".join((fields, f"Content-Type: text/plain{named}\r\n".encode(), _LABEL, b"\r\n"))
