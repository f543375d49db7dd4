"""A body that stands sealed in its row, read when somebody asks for its octets."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gatepost.store.sealing import Corrupt, Seal, unsealed


class StoredBody:
    """Content of a queued item that is not in memory."""

    __slots__ = ("_bond", "_id", "_read", "_seal", "size")

    def __init__(
        self, read: Callable[[], list[tuple[bytes]]], id_: str, bond: bytes, size: int, seal: Seal
    ) -> None:
        self._read = read
        self._id = id_
        self._bond = bond or bound(id_)
        self._seal = seal
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """Yield everything at once; raises Corrupt."""
        data = self.check()
        if data:
            yield data

    def check(self) -> bytes:
        """Read and unseal; raises Corrupt."""
        rows = self._read()
        if not rows or rows[0][0] is None:
            raise Corrupt(f"item {self._id} has no body")
        data = unsealed(self._seal, rows[0][0], self._bond)
        if len(data) != self.size:
            raise Corrupt(f"item {self._id} has {len(data)} octets instead of {self.size}")
        return data


class UnreadBody:
    """Content that is not to be read here: the administrator sees its size only."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """Bodies stay sealed."""
        raise Corrupt("the body is sealed")


def bound(id_: str) -> bytes:
    """What a body of schema 1 is bound to, so that rows cannot swap theirs."""
    return b"queue\0" + id_.encode()
