"""Writing DER (X.690): values from the inside out, lengths first, content never copied.

A `Shell` is what stands before and after content whose octets are not at hand: it grows
by one layer at a time, and only sizes are added up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

SEQUENCE = 0x30
SET = 0x31
OCTET_STRING = 0x04
BIT_STRING = 0x03
CONTEXT = 0x80  # plus the tag number; add CONSTRUCTED unless the value is primitive
CONSTRUCTED = 0x20

NULL = b"\x05\x00"


_OCTET = tuple(bytes((value,)) for value in range(256))


def length(count: int) -> bytes:
    """The length octets for so much content, in as few octets as possible (X.690 10.1)."""
    if count < 0x80:
        return _OCTET[count]
    octets = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return _OCTET[0x80 | len(octets)] + octets


_SHORT = tuple(map(length, range(1024)))


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element around the parts."""
    contents = parts[0] if len(parts) == 1 else b"".join(parts)
    size = len(contents)
    return _OCTET[tag] + (_SHORT[size] if size < 1024 else length(size)) + contents


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE."""
    return tlv(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """A SET OF, its elements in ascending order of their encodings (X.690 11.6)."""
    return tlv(SET, *sorted(parts))


def octet_string(octets: bytes) -> bytes:
    """An OCTET STRING."""
    return tlv(OCTET_STRING, octets)


def bit_string(octets: bytes) -> bytes:
    """A BIT STRING of whole octets."""
    return tlv(BIT_STRING, b"\x00", octets)


def explicit(number: int, *parts: bytes) -> bytes:
    """A constructed context tag around whole elements; also an IMPLICIT SET or SEQUENCE."""
    return tlv(CONTEXT | CONSTRUCTED | number, *parts)


def integer(value: int) -> bytes:
    """An INTEGER in two's complement, as short as possible (X.690 8.3)."""
    octets = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return tlv(0x02, value.to_bytes(octets, "big", signed=True))


@lru_cache(maxsize=512)
def oid_contents(dotted: str) -> bytes:
    """The content octets of an OBJECT IDENTIFIER (X.690 8.19)."""
    first, second, *others = map(int, dotted.split("."))
    return b"".join(_base_128(arc) for arc in (first * 40 + second, *others))


@lru_cache(maxsize=512)
def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    return tlv(0x06, oid_contents(dotted))


def _base_128(value: int) -> bytes:
    octets = [value & 0x7F]
    while value := value >> 7:
        octets.append(value & 0x7F | 0x80)
    return bytes(reversed(octets))


@dataclass(frozen=True, slots=True)
class Shell:
    """What stands around content of a known size."""

    size: int  # octets of the content itself
    prefix: bytes = b""
    suffix: bytes = b""

    def within(self, tag: int, before: bytes = b"", after: bytes = b"") -> Shell:
        """The same content inside one more element, with siblings before and after it."""
        suffix = self.suffix + after
        inner = before + self.prefix
        head = _OCTET[tag] + length(len(inner) + self.size + len(suffix))
        return Shell(self.size, head + inner, suffix)
