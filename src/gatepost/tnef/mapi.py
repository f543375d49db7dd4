"""MAPI properties as TNEF lists them (MS-OXTNEF section 2.1.3.4).

Values are bounded by the octets they stand in; the number of properties is capped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gatepost.errors import LimitExceeded, Malformed
from gatepost.tnef.cursor import Cursor

MAXIMUM_PROPERTIES = 10_000
MAXIMUM_VALUES = 100_000

MESSAGE_CLASS, BODY, RTF, HTML = 0x001A, 0x1000, 0x1009, 0x1013
DISPLAY_NAME, ATTACH_DATA, ATTACH_NAME, ATTACH_LONG_NAME, ATTACH_MIME = (
    0x3001,
    0x3701,
    0x3704,
    0x3707,
    0x370E,
)

_MANY = 0x1000  # the type's flag for several values
_NAMED = 0x8000  # identifiers from here on bring a name
_OBJECT, _TEXT, _UNICODE = 0x000D, 0x001E, 0x001F
_FIXED = {  # octets of a value, filled up to a multiple of four
    **dict.fromkeys((0x0002, 0x0003, 0x0004, 0x000A, 0x000B), 4),
    **dict.fromkeys((0x0005, 0x0006, 0x0007, 0x0014, 0x0040), 8),
    **dict.fromkeys((0x0000, 0x0001), 0),
    0x0048: 16,
}
_VARIABLE = frozenset({_OBJECT, _TEXT, _UNICODE, 0x0102})
_INTERFACE = 16  # an object's value begins with the identifier of its interface
_MESSAGE = bytes.fromhex("0703020000000000c000000000000046")  # IID_IMessage


@dataclass(frozen=True, slots=True)
class Value:
    """A property's first value."""

    type: int
    octets: bytes

    @property
    def text(self) -> str:
        """As text; odd octets are replaced."""
        coding = "utf-16-le" if self.type == _UNICODE else "cp1252"
        return self.octets.decode(coding, "replace").split("\0", 1)[0]

    @property
    def data(self) -> bytes:
        """As octets."""
        return self.octets[_INTERFACE:] if self.type == _OBJECT else self.octets

    @property
    def is_message(self) -> bool:
        """Whether it is an embedded message: a TNEF stream of its own (MS-OXTNEF 2.1.3.4.3)."""
        return self.type == _OBJECT and self.octets.startswith(_MESSAGE)


def properties(cursor: Cursor) -> Mapping[int, Value]:
    """The unnamed properties with a value of variable size, by identifier; the first counts."""
    count = cursor.number(4)
    if count > MAXIMUM_PROPERTIES:
        raise LimitExceeded(f"TNEF: {count} properties in one list")
    found: dict[int, Value] = {}
    for _ in range(count):
        kind, identifier = cursor.number(2), cursor.number(2)
        if identifier >= _NAMED:
            _skip_name(cursor)
        value = _value(cursor, kind & ~_MANY, many=bool(kind & _MANY))
        if value is not None and identifier < _NAMED:
            found.setdefault(identifier, value)
    return found


def _skip_name(cursor: Cursor) -> None:
    cursor.skip(16)
    if cursor.number(4) == 0:
        cursor.skip(4)
    else:
        _padded(cursor, cursor.number(4))


def _value(cursor: Cursor, kind: int, *, many: bool) -> Value | None:
    if kind in _FIXED:
        count = cursor.number(4) if many else 1
        cursor.skip(count * _FIXED[kind])
        return None
    if kind not in _VARIABLE:
        raise Malformed(f"TNEF: property type 0x{kind:04x} is not known")
    count = cursor.number(4)
    if count > MAXIMUM_VALUES:
        raise LimitExceeded(f"TNEF: {count} values of one property")
    values = [_padded(cursor, cursor.number(4)) for _ in range(count)]
    if not values:
        return None
    start, size = values[0]
    return Value(kind, cursor.octets[start : start + size])


def _padded(cursor: Cursor, size: int) -> tuple[int, int]:
    """Step over a value and what fills it up to a multiple of four; gives start and size."""
    start = cursor.skip(size)
    cursor.skip(min(-size % 4, cursor.left))
    return start, size
