"""The octets of a message, readable again and again without holding them all.

Small content is one `Octets`; large content stands in a sealed spool file
(`store.spool`), and what signing and encrypting make of it is a `Rope` or a lazily
computed sequence of the same shape.  Nothing on the ground floor asks for more than
`size` and `chunks()`, so a message of 1 GiB passes in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

CHUNK = 64 * 1024
SMALL = 256 * 1024  # octets; content up to here is worked on at once
LARGE = 8 * 1024 * 1024  # octets; content above this is nowhere held as a whole


@runtime_checkable
class Content(Protocol):
    """A known number of octets that can be iterated any number of times."""

    @property
    def size(self) -> int:
        """How many octets `chunks` yields in total."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets in order; each call starts again from the first."""
        ...


@dataclass(frozen=True, slots=True)
class Octets:
    """Content held in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """How many octets there are."""
        return len(self.data)

    def chunks(self) -> Iterator[bytes]:
        """Yield everything at once."""
        if self.data:
            yield self.data

    def __repr__(self) -> str:  # bodies never reach a log through a repr
        return f"Octets({len(self.data)} octets)"


@dataclass(frozen=True, slots=True)
class Rope:
    """Several contents one after the other, without copying them together."""

    parts: tuple[Content, ...]

    @property
    def size(self) -> int:
        """The sum of the parts."""
        return sum(part.size for part in self.parts)

    def chunks(self) -> Iterator[bytes]:
        """Yield the chunks of every part in order."""
        for part in self.parts:
            yield from part.chunks()


@dataclass(frozen=True, slots=True)
class Slice:
    """A range of another content's octets."""

    whole: Content
    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many octets the range holds."""
        return self.stop - self.start

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets of the range; skips what stands before it."""
        position = 0
        for chunk in self.whole.chunks():
            low, high = max(self.start - position, 0), min(self.stop - position, len(chunk))
            if low < high:
                yield chunk[low:high]
            position += len(chunk)
            if position >= self.stop:
                return


def is_large(content: Content) -> bool:
    """Whether the content is to be worked on only as it passes."""
    return content.size > LARGE


def settled(content: Content) -> Content:
    """Small content made now, so that reading it once more costs nothing; larger as it is."""
    return Octets(join(content)) if content.size <= SMALL else content


def join(content: Content) -> bytes:
    """All octets as one bytes object; free for `Octets`."""
    return content.data if isinstance(content, Octets) else b"".join(content.chunks())
