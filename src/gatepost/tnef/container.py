"""A TNEF stream as its message class, whether it has a body, and its attachments.

MS-OXTNEF section 2.1.3.  Read as far as it is whole: a stream cut short gives what came
before, an attachment without data gives none.  Embedded messages are read too, not deep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gatepost.errors import LimitExceeded, Malformed
from gatepost.tnef import mapi
from gatepost.tnef.cursor import Cursor

SIGNATURE = b"\x78\x9f\x3e\x22"
MAXIMUM_ATTRIBUTES = 10_000
MAXIMUM_ATTACHMENTS = 1_000
MAXIMUM_DEPTH = 8  # of messages in messages; deeper ones stay closed

_MESSAGE_CLASS, _BODY, _MESSAGE_PROPERTIES = 0x8008, 0x800C, 0x9003
_NEXT, _DATA, _TITLE, _PROPERTIES = 0x9002, 0x800F, 0x8010, 0x9005
_BODIES = (mapi.BODY, mapi.RTF, mapi.HTML)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment."""

    name: str
    media_type: str
    data: bytes = field(repr=False)  # of an embedded message its stream
    message: Container | None = None  # what stands in that stream


@dataclass(frozen=True, slots=True)
class Container:
    """What a stream holds."""

    message_class: str
    has_body: bool
    attachments: tuple[Attachment, ...]

    def everything(self) -> Iterator[Attachment]:
        """Each attachment, followed by those of the message it is, if it is one."""
        for one in self.attachments:
            yield one
            if one.message is not None:
                yield from one.message.everything()


@dataclass(slots=True)
class _Draft:
    """An attachment while its attributes come in."""

    name: str = ""
    media_type: str = ""
    data: bytes = b""
    is_message: bool = False

    def take(self, attribute: int, cursor: Cursor) -> None:
        """One attribute of it."""
        if attribute == _TITLE:
            self.name = self.name or _text(cursor)
        elif attribute == _DATA:
            self.data = self.data if self.is_message else cursor.take(cursor.left)
        elif attribute == _PROPERTIES:
            found = mapi.properties(cursor)
            name = found.get(mapi.ATTACH_LONG_NAME) or found.get(mapi.ATTACH_NAME)
            self.name = name.text if name else self.name
            kind, data = found.get(mapi.ATTACH_MIME), found.get(mapi.ATTACH_DATA)
            self.media_type = kind.text if kind else self.media_type
            if data and data.is_message:  # beside it stands a text that it is not supported
                title = found.get(mapi.DISPLAY_NAME)
                self.name = title.text if title else self.name
                self.data, self.is_message = data.data, True
            self.data = data.data if data and not self.data else self.data

    def done(self, depth: int) -> Attachment:
        """The attachment, and the message it is."""
        message = _embedded(self.data, depth + 1) if self.is_message else None
        return Attachment(self.name, self.media_type.lower(), self.data, message)


def read(octets: bytes) -> Container:
    """Read a stream; raises Malformed where it is none."""
    return _read(octets, 0)


def _embedded(octets: bytes, depth: int) -> Container | None:
    try:
        return _read(octets, depth) if depth < MAXIMUM_DEPTH else None
    except Malformed:
        return None


def _read(octets: bytes, depth: int) -> Container:
    if not octets.startswith(SIGNATURE):
        raise Malformed("TNEF: the stream has another signature")
    message_class, has_body = "", False
    drafts: list[_Draft] = []
    for level, attribute, cursor in _attributes(Cursor(octets, 6)):
        if level == 1 and attribute == _MESSAGE_CLASS:
            message_class = message_class or _text(cursor)
        elif level == 1 and attribute == _BODY:
            has_body = has_body or bool(_text(cursor).strip())
        elif level == 1 and attribute == _MESSAGE_PROPERTIES:
            found = mapi.properties(cursor)
            has_body = has_body or any(_says(found.get(one)) for one in _BODIES)
            named = found.get(mapi.MESSAGE_CLASS)
            message_class = message_class or (named.text if named else "")
        elif attribute == _NEXT:
            drafts.append(_Draft())
            if len(drafts) > MAXIMUM_ATTACHMENTS:
                raise LimitExceeded(f"TNEF: more than {MAXIMUM_ATTACHMENTS} attachments")
        elif level == 2 and drafts:
            drafts[-1].take(attribute, cursor)
    whole = tuple(one.done(depth) for one in drafts if one.data)
    return Container(message_class, has_body, whole)


def _attributes(cursor: Cursor) -> Iterator[tuple[int, int, Cursor]]:
    """Level, identifier and contents of each attribute; a checksum follows and proves nothing."""
    for _ in range(MAXIMUM_ATTRIBUTES):
        if cursor.left < 11:
            return
        level, attribute = cursor.number(1), cursor.number(2)
        cursor.skip(2)  # the type follows from the identifier
        size = cursor.number(4)
        if size > cursor.left:
            return
        yield level, attribute, cursor.within(size)
        cursor.skip(min(2, cursor.left))
    raise LimitExceeded(f"TNEF: more than {MAXIMUM_ATTRIBUTES} attributes")


def _text(cursor: Cursor) -> str:
    return cursor.take(cursor.left).decode("cp1252", "replace").split("\0", 1)[0]


def _says(value: mapi.Value | None) -> bool:
    return value is not None and bool(value.octets.strip(b"\0 \r\n\t"))
