"""Where a message's octets wait for its end: memory while small, then the application's sink."""

from __future__ import annotations

from collections.abc import Callable

from gatepost.mail.content import Content, Octets
from gatepost.net.application import Sink


class MemorySink:
    """Holds octets in memory."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, octets: bytes) -> None:
        """Append octets."""
        self._parts.append(octets)

    def finish(self) -> Content:
        """Everything written."""
        return Octets(b"".join(self._parts))

    def discard(self) -> None:
        """Forget everything."""
        self._parts.clear()


class GrowingSink:
    """Memory up to a threshold; beyond it everything moves to a larger sink."""

    __slots__ = ("_larger", "_parts", "_room", "_sink")

    def __init__(self, larger: Callable[[], Sink], threshold: int) -> None:
        self._larger, self._room = larger, threshold
        self._parts: list[bytes] = []
        self._sink: Sink | None = None

    def write(self, octets: bytes) -> None:
        """Append octets."""
        if self._sink is not None:
            self._sink.write(octets)
            return
        self._parts.append(octets)
        self._room -= len(octets)
        if self._room < 0:
            self._sink = self._larger()
            for part in self._parts:
                self._sink.write(part)
            self._parts = []

    def finish(self) -> Content:
        """Everything written."""
        return Octets(b"".join(self._parts)) if self._sink is None else self._sink.finish()

    def discard(self) -> None:
        """Forget everything."""
        self._parts = []
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.discard()
