"""The little DER that path validation reads by itself; whoever calls catches IndexError."""

from __future__ import annotations

from collections.abc import Iterator

MAXIMUM_OID = 64  # octets


def inside(der: bytes, start: int) -> int:
    """Where the content of the element at `start` begins."""
    length = der[start + 1]
    return start + 2 + (length & 0x7F if length & 0x80 else 0)


def after(der: bytes, start: int) -> int:
    """Where the element at `start` ends."""
    length, body = der[start + 1], inside(der, start)
    if length == 0x80:
        raise IndexError("an indefinite length is not DER")
    if length & 0x80:
        length = int.from_bytes(der[start + 2 : body], "big")
    return body + length


def items(der: bytes) -> Iterator[bytes]:
    """The elements in the content of the element that `der` is."""
    position = inside(der, 0)
    if after(der, 0) != len(der):
        raise IndexError("an element is cut off")
    while position < len(der):
        stop = after(der, position)
        if stop > len(der):
            raise IndexError("an element is cut off")
        yield der[position:stop]
        position = stop


def first(der: bytes) -> bytes:
    """The first element in the content; there may be none."""
    for one in items(der):
        return one
    raise IndexError("an element is empty")


def dotted(der: bytes) -> str:
    """An OBJECT IDENTIFIER in digits and dots; there may be none, or a longer one than any is."""
    numbers: list[int] = []
    value = 0
    octets = der[inside(der, 0) :]
    if len(octets) > MAXIMUM_OID:  # its numbers would take time by the square
        raise IndexError("an object identifier of unreasonable length")
    for octet in octets:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))
