"""Seal a file chunk by chunk (the STREAM construction of Hoang, Reyhanitabar, Rogaway, Vizár).

A key per file; the nonce is the chunk's index and whether it is the last, so chunks can be
neither reordered, repeated nor dropped, and any one can be read alone.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHUNK = 64 * 1024  # octets of plain text in every chunk but the last
TAG = 16
SEALED_CHUNK = CHUNK + TAG
HEADER = 29  # octets at the start of a sealed file


class ChunkSealer:
    """Seals and unseals the chunks of one file."""

    __slots__ = ("_aad", "_broken", "_cipher", "header")

    def __init__(
        self, header: bytes, cipher: AESGCM, aad: bytes, broken: Callable[[], Exception]
    ) -> None:
        self.header = header
        self._cipher = cipher
        self._aad = aad
        self._broken = broken

    def seal_chunk(self, index: int, data: bytes, *, final: bool) -> bytes:
        """Seal chunk `index`; every chunk but the final one has exactly CHUNK octets."""
        if len(data) > CHUNK or (not final and len(data) != CHUNK):
            raise ValueError(f"chunk {index} has {len(data)} octets")
        return self._cipher.encrypt(_nonce(index, final), data, self._aad)

    def unseal_chunk(self, index: int, data: bytes, *, final: bool) -> bytes:
        """Unseal chunk `index`; raises SealBroken when it is not that chunk of that file."""
        try:
            return self._cipher.decrypt(_nonce(index, final), data, self._aad)
        except InvalidTag:
            raise self._broken() from None

    def __repr__(self) -> str:
        return "ChunkSealer()"


def _nonce(index: int, final: bool) -> bytes:  # noqa: FBT001  two private callers
    return index.to_bytes(11, "big") + bytes((final,))
