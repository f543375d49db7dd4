"""HTML that can send a mail's text elsewhere, and how to make it harmless (EFAIL, 2018).

Judged by a short list of what is harmless, not by a list of attacks; made harmless by its
label alone: the octets stay, as an attachment of plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from gatepost.errors import LimitExceeded
from gatepost.mail.content import Content, Octets, Rope
from gatepost.mime import entity, headers, splice, transfer
from gatepost.mime.entity import Entity
from gatepost.mime.outline import Part, outline
from gatepost.mime.splice import Edit

MAXIMUM_SEARCHED = 1024 * 1024  # octets of HTML in large mail
_Some = TypeVar("_Some", Entity, Part)

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
    rendered = (one for one in entity.walk(root) if _is_rendered(one))
    found = list(_outermost(one for one in rendered if _acts(one, entity.decoded(one))))
    pieces, position = list[bytes](), 0
    for one in found:
        pieces += [octets[position : one.start], _labelled(one)]
        position = one.body_start
    return b"".join((*pieces, octets[position:])), len(found)


def defused_as_read(content: Content) -> tuple[Content, int]:
    """As `defused`, of content too large to hold; what is too long to look through may act."""
    try:
        root = outline(content)
    except LimitExceeded:
        header, body = entity.split(content)
        label = _labelled(entity.parse(header + b"\r\n", descend=False))
        return Rope((Octets(label), body)), 1
    found = list(_outermost(_acting(content, list(_walk(root)))))
    edits = [Edit(one.start, one.body_start, partial(_instead, _labelled(one))) for one in found]
    return splice.spliced(content, edits), len(found)


def _walk(part: Part) -> Iterator[Part]:
    yield part
    for child in part.children:
        yield from _walk(child)


def _instead(label: bytes, _header: Iterable[bytes]) -> Iterable[bytes]:
    return (label,)


def _acting(content: Content, parts: Sequence[Part]) -> Iterator[Part]:
    rendered = [one for one in parts if _is_rendered(one)]
    short = [one for one in rendered if one.stop - one.body_start <= MAXIMUM_SEARCHED]
    bodies = splice.ranges(content, [(one.body_start, one.stop) for one in short])
    harmless = [
        one
        for one, chunks in zip(short, bodies, strict=True)
        if not _acts(one, transfer.decode(b"".join(chunks), one.encoding))
    ]
    yield from (one for one in rendered if not any(one is each for each in harmless))


def _is_rendered(one: Entity | Part) -> bool:
    """Whether it may be rendered by some reader, however he reads fields that stand there twice."""
    kinds = _kinds(one)
    return bool(kinds & RENDERED or (kinds & _MESSAGES and not one.children))


def _acts(one: Entity | Part, decoded: bytes) -> bool:
    """Whether what may be rendered could act."""
    if _kinds(one) != {"text/html"} or len(_every(one, "Content-Transfer-Encoding")) > 1:
        return True
    named = _CHARSETS.match(one.content_type.get("charset"))
    return not named or _ACTING.search(decoded) is not None


def _kinds(one: Entity | Part) -> set[str]:
    kinds = {headers.content_type(each.raw).essence for each in _every(one, "Content-Type")}
    return kinds | {one.content_type.essence}


def _every(one: Entity | Part, name: str) -> list[headers.Field]:
    return list(headers.every(one.header, name))


def _outermost(found: Iterable[_Some]) -> Iterator[_Some]:
    """Those that do not stand inside another one."""
    stop = -1
    for one in sorted(found, key=lambda each: each.start):
        if one.start >= stop:
            yield one
            stop = one.stop


def _labelled(one: Entity | Part) -> bytes:
    """The header of a text file; the encoding stays as it is."""
    charset = one.content_type.get("charset")
    named = f"; charset={charset}" if charset and _CHARSETS.match(charset) else ""
    fields = headers.without(one.header, "Content-Type", "Content-Disposition")
    if fields and not fields.endswith(b"\n"):
        fields += b"\r\n"
    return b"".join((fields, f"Content-Type: text/plain{named}\r\n".encode(), _LABEL, b"\r\n"))
