"""Another content with ranges replaced while it passes: one reading, however many ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gatepost.mail.content import Content

Change = Callable[[Iterable[bytes]], Iterable[bytes]]


class Edit(NamedTuple):
    """What a range of octets becomes."""

    start: int
    stop: int
    change: Change


@dataclass(frozen=True, slots=True)
class Spliced:
    """Content after its edits, which are in order and do not overlap."""

    whole: Content
    edits: Sequence[Edit]
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the changed octets; each reading changes them anew."""
        return _spliced(self.whole, self.edits)


def spliced(whole: Content, edits: Sequence[Edit]) -> Content:
    """The content with these ranges changed; one pass learns its size."""
    return Spliced(whole, edits, sum(map(len, _spliced(whole, edits)))) if edits else whole


def ranges(content: Content, spans: Iterable[tuple[int, int]]) -> Iterator[Iterator[bytes]]:
    """Ranges of the content, in order; each is to be read before the next is asked for."""
    reader, position = _Reader(content), 0
    for start, stop in spans:
        for _ in reader.passing(start - position):
            pass
        yield reader.passing(stop - start)
        position = stop


def _spliced(whole: Content, edits: Sequence[Edit]) -> Iterator[bytes]:
    reader, position = _Reader(whole), 0
    for start, stop, change in edits:
        yield from reader.passing(start - position)
        inside = reader.passing(stop - start)
        yield from change(inside)
        for _ in inside:  # a change that needs nothing of it has read nothing
            pass
        position = stop
    yield from reader.passing(whole.size - position)


class _Reader:
    """The octets of a content, so many at a time."""

    def __init__(self, content: Content) -> None:
        self._chunks = content.chunks()
        self._chunk = b""

    def passing(self, count: int) -> Iterator[bytes]:
        """The next octets."""
        while count > 0:
            chunk = self._chunk or next(self._chunks, None)
            if chunk is None:
                return
            self._chunk = chunk[count:]
            count -= min(len(chunk), count)
            yield chunk[: len(chunk) - len(self._chunk)]
