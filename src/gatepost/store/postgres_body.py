"""Large bodies in the database: 1 MiB rows, sealed like the spool's files.

AES-256-GCM under a key per body (sealed in the item's row, bound to its envelope); the nonce is
the row's index and a flag for the last one, so rows cannot be swapped, repeated or cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatepost.errors import Unavailable
from gatepost.mail.content import CHUNK, Content
from gatepost.store.sealing import Corrupt, Seal, unsealed

ROW: Final = 1024 * 1024

_AAD = b"gpchunk1"


class ChunkedBody:
    """Content of a queued item that stands in rows, fetched one at a time."""

    __slots__ = ("_bond", "_chunk", "_id", "_key", "_seal", "size")

    def __init__(
        self,
        key: Callable[[], bytes | None],
        chunk: Callable[[int], bytes | None],
        id_: str,
        bond: bytes,
        size: int,
        *,
        seal: Seal,
    ) -> None:
        self._key = key
        self._chunk = chunk
        self._id = id_
        self._bond = bond
        self._seal = seal
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """Unseal row by row; raises Corrupt."""
        sealed = self._key()
        if sealed is None:
            raise Corrupt(f"item {self._id} has no body")
        cipher = AESGCM(unsealed(self._seal, sealed, bound(self._id, self._bond)))
        last = rows(self.size) - 1
        left = self.size
        for nth in range(last + 1):
            data = self._opened(cipher, nth, last=nth == last)
            left -= len(data)
            for start in range(0, len(data), CHUNK):
                yield data[start : start + CHUNK]
        if left:
            raise Corrupt(f"item {self._id} has {self.size - left} octets instead of {self.size}")

    def check(self) -> None:
        """Read everything once, so that damage is noticed before a peer hears of the mail."""
        for _ in self.chunks():
            pass

    def _opened(self, cipher: AESGCM, nth: int, *, last: bool) -> bytes:
        sealed = self._chunk(nth)
        if sealed is None:
            raise Corrupt(f"item {self._id} lacks row {nth} of its body")
        try:
            return cipher.decrypt(_nonce(nth, last=last), sealed, _AAD)
        except (InvalidTag, ValueError) as error:
            raise Corrupt(f"row {nth} of the body of item {self._id} does not unseal") from error


def sealed_rows(content: Content, key: bytes) -> Iterator[bytes]:
    """The content's rows, one at a time; raises Unavailable when it is not as long as it said."""
    cipher = AESGCM(key)
    last = rows(content.size) - 1
    buffer = bytearray()
    nth = seen = 0
    for piece in content.chunks():
        seen += len(piece)
        buffer += piece
        while len(buffer) >= ROW and nth < last:
            yield cipher.encrypt(_nonce(nth, last=False), bytes(buffer[:ROW]), _AAD)
            del buffer[:ROW]
            nth += 1
        if seen > content.size:
            break
    if seen != content.size:
        raise Unavailable(f"content gave {seen} octets, not {content.size}")
    yield cipher.encrypt(_nonce(nth, last=True), bytes(buffer), _AAD)


def rows(size: int) -> int:
    """How many rows a body of this size has; an empty one has one."""
    return max(-(-size // ROW), 1)


def bound(id_: str, bond: bytes) -> bytes:
    """What a body's key is bound to; in schema 1 to the id alone."""
    return b"chunks\0" + (bond or id_.encode())


def _nonce(nth: int, *, last: bool) -> bytes:
    return nth.to_bytes(11, "big") + (b"\x01" if last else b"\x00")
