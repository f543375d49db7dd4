"""Take little-endian values off octets, never past their end."""

from __future__ import annotations

from gatepost.errors import Malformed


class Cursor:
    """A place in octets that only goes forward, so reading ends."""

    __slots__ = ("octets", "position", "stop")

    def __init__(self, octets: bytes, start: int = 0, stop: int | None = None) -> None:
        self.octets = octets
        self.position = start
        self.stop = len(octets) if stop is None else stop

    @property
    def left(self) -> int:
        """How many octets are left."""
        return self.stop - self.position

    def skip(self, size: int) -> int:
        """Step over so many octets; gives where they started."""
        start = self.position
        if size > self.left:
            raise Malformed(f"TNEF: {size} octets announced at {start}, {self.left} are there")
        self.position += size
        return start

    def take(self, size: int) -> bytes:
        """The next so many octets."""
        start = self.skip(size)
        return self.octets[start : start + size]

    def number(self, size: int) -> int:
        """An unsigned number of 1, 2 or 4 octets."""
        start = self.skip(size)
        return int.from_bytes(self.octets[start : start + size], "little")

    def within(self, size: int) -> Cursor:
        """A cursor over the next so many octets, which this one steps over."""
        start = self.skip(size)
        return Cursor(self.octets, start, start + size)
