"""Show hidden header fields in the text for old readers (RFC 9788 sections 5.2.2 and 5.2.3).

Taken out again by who knows better (section 4.5.3), and then only lines that repeat a
protected field: nothing else an author wrote disappears because of a parameter.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Collection, Iterator, Sequence

from gatepost.mime import entity, headers, transfer
from gatepost.mime.entity import Entity
from gatepost.smime import parameter

PARAMETER = "hp-legacy-display"
MAXIMUM_ELEMENT = 64 * 1024

_TEXTS = frozenset({"text/plain", "text/html"})
_CLASS = "header-protection-legacy-display"
_BODY = re.compile(r"<body\b[^>]{0,2000}>", re.IGNORECASE)
_DIV = re.compile(rf'<div class="?{_CLASS}"?\s*>', re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,200}>")
_BLANK = re.compile(r"\r?\n[ \t]*\r?\n")
_FOLD = re.compile(r"\r?\n[ \t]+")

Edit = Callable[[str, str], str | None]  # (media type, text) to the new text, None: leave it


def inserted(octets: bytes, lines: Sequence[str]) -> bytes:
    """The entity with these lines before the text of each of its main body parts."""
    found = [one for one in _main(entity.parse(octets, descend=False)) if _is_text(one)]

    def edit(kind: str, text: str) -> str:
        return _above(text, lines) if kind == "text/plain" else _within(text, lines)

    return _edited(octets, found, edit, lambda fields: parameter.added(fields, PARAMETER, "1"))


def removed(octets: bytes, known: Collection[str]) -> bytes:
    """The entity without elements that consist of known lines ("Subject: Offer")."""
    if PARAMETER.encode("ascii") not in octets:
        return octets
    root = entity.parse(octets, descend=False)
    found = [one for one in entity.walk(root) if _is_text(one) and _is_marked(one)]

    def edit(kind: str, text: str) -> str | None:
        return _below(text, known) if kind == "text/plain" else _without(text, known)

    return _edited(octets, found, edit, lambda fields: parameter.removed(fields, PARAMETER))


def _main(one: Entity) -> Iterator[Entity]:
    """The main body parts (RFC 9787 section 7.1)."""
    if headers.disposition(one.header)[0] == "attachment":
        return
    if one.content_type.essence == "multipart/alternative":
        for child in one.children:
            yield from _main(child)
    elif one.is_multipart:
        yield from _main(one.children[0])
    else:
        yield one


def _is_text(one: Entity) -> bool:
    return one.content_type.essence in _TEXTS and not one.children


def _is_marked(one: Entity) -> bool:
    return one.content_type.get(PARAMETER) == "1"


def _edited(
    octets: bytes, parts: Sequence[Entity], edit: Edit, mark: Callable[[bytes], bytes]
) -> bytes:
    pieces, position = [], 0
    for one in parts:
        made = _part(one, edit, mark)
        if made is not None:
            pieces += [octets[position : one.start], made]
            position = one.stop
    return b"".join((*pieces, octets[position:]))


def _part(one: Entity, edit: Edit, mark: Callable[[bytes], bytes]) -> bytes | None:
    """The part with its text edited; None where its charset cannot say it."""
    charset = one.content_type.get("charset", "us-ascii")
    try:
        text = entity.decoded(one).decode(charset)
        changed = edit(one.content_type.essence, text)
        new = None if changed is None else changed.encode(charset)
    except (LookupError, ValueError):
        return None
    if new is None:
        return None
    fields = mark(one.header)
    if one.encoding == "7bit" and not new.isascii():
        fields = headers.replaced(fields, "Content-Transfer-Encoding", "8bit")
    return fields + b"\r\n" + _encoded(one, new)


def _encoded(one: Entity, new: bytes) -> bytes:
    if one.encoding == "base64":
        made = transfer.encode_base64(new)
        # the line break before a delimiter is the delimiter's own
        return made if one.stop == len(one.octets) else made.removesuffix(b"\r\n")
    if one.encoding == "quoted-printable":
        return transfer.encode_quoted_printable(new)
    return new


def _above(text: str, lines: Sequence[str]) -> str:
    return "\r\n".join([*lines, "", text])


def _within(text: str, lines: Sequence[str]) -> str:
    shown = "\r\n".join(html.escape(line, quote=False) for line in lines)
    element = f'<div class="{_CLASS}">\r\n<pre>{shown}</pre>\r\n</div>\r\n'
    match = _BODY.search(text)
    place = match.end() if match else 0
    return text[:place] + element + text[place:]


def _below(text: str, known: Collection[str]) -> str | None:
    """RFC 9788 section 4.5.3.2: up to and including the first blank line."""
    match = _BLANK.search(text, 0, MAXIMUM_ELEMENT)
    if match is None or not _are_known(text[: match.start()], known):
        return None
    return text[match.end() :]


def _without(text: str, known: Collection[str]) -> str | None:
    """RFC 9788 section 4.5.3.3: the div of this class."""
    start = _DIV.search(text)
    if start is None:
        return None
    stop = text.lower().find("</div>", start.end(), start.end() + MAXIMUM_ELEMENT)
    if stop < 0 or not _are_known(html.unescape(_TAG.sub("", text[start.end() : stop])), known):
        return None
    rest = text[stop + len("</div>") :]
    return text[: start.start()] + rest.removeprefix("\r\n")


def _are_known(element: str, known: Collection[str]) -> bool:
    lines = _FOLD.sub(" ", element.strip()).splitlines()
    return all(" ".join(line.split()) in known for line in lines)
