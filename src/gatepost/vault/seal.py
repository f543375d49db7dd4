"""Seal octets at rest: AES-256-GCM under a key of its own for every box and every file.

Each purpose has a sub-key (`subkey`); a box takes 24 random octets, 12 to derive its own key
and 12 as nonce, so no number of boxes wears a key out (the 2^32 bound of NIST SP 800-38D
section 8.3).  Files are sealed by `stream`.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatepost.errors import GatepostError, KeyUnavailable
from gatepost.vault.kek import Kek
from gatepost.vault.stream import ChunkSealer
from gatepost.vault.subkey import Source, Subkey, steady

VERSION = 1
_ID = 4
_SALT = 12
_NONCE = 12
_TAG = 16
_HEAD = 1 + _ID + _SALT + _NONCE
OVERHEAD = _HEAD + _TAG  # octets a box is longer than what is in it


class SealBroken(GatepostError):
    """Sealed data was altered, cut short or moved from where it belongs."""


class Sealer:
    """Seals and unseals for one purpose; boxes of one purpose do not open under another."""

    __slots__ = ("_last", "_purpose", "_source")

    def __init__(self, source: Kek | Source, purpose: str) -> None:
        """Where the key may change, or is not there yet, `source` gives it when it is needed."""
        self._purpose = purpose
        self._source = steady(source, purpose)
        self._last: Subkey | None = None

    def _look(self) -> Subkey:
        self._last = found = self._source()
        return found

    def seal(self, data: bytes, aad: bytes = b"") -> bytes:
        """Seal; `aad` names the place the box belongs to and must be the same to unseal."""
        head = self._begin()
        return head + self._cipher(head).encrypt(head[-_NONCE:], data, head[: 1 + _ID] + aad)

    def unseal(self, box: bytes, aad: bytes = b"") -> bytes:
        """Unseal; raises KeyUnavailable under another key, SealBroken when altered."""
        head = self._head(box, OVERHEAD)
        try:
            return self._cipher(head).decrypt(head[-_NONCE:], box[_HEAD:], head[: 1 + _ID] + aad)
        except InvalidTag:
            raise self._broken() from None

    def stream(self, aad: bytes = b"") -> ChunkSealer:
        """Begin a file: write its `header` first, then its chunks."""
        return self._stream(self._begin(), aad)

    def resume(self, header: bytes, aad: bytes = b"") -> ChunkSealer:
        """Read a file whose first `HEADER` octets are given."""
        return self._stream(self._head(header, _HEAD), aad)

    def _begin(self) -> bytes:
        return bytes((VERSION,)) + self._look().id + os.urandom(_SALT + _NONCE)

    def _stream(self, header: bytes, aad: bytes) -> ChunkSealer:
        key = hmac.digest(self._key(header), b"stream" + header, hashlib.sha256)
        return ChunkSealer(header, AESGCM(key), aad, self._broken)

    def _cipher(self, head: bytes) -> AESGCM:
        salt = head[1 + _ID : 1 + _ID + _SALT]
        return AESGCM(hmac.digest(self._key(head), b"box" + salt, hashlib.sha256))

    def _key(self, head: bytes) -> bytes:
        """The sub-key that a box names."""
        id_ = bytes(head[1 : 1 + _ID])
        known = self._last
        if known is None or id_ not in known.keys:
            known = self._look()
        if id_ not in known.keys:
            raise KeyUnavailable(
                f"{self._purpose} was sealed under key-encryption key {id_.hex()}, "
                f"the one loaded is {known.id.hex()}"
            )
        return known.keys[id_]

    def _head(self, box: bytes, least: int) -> bytes:
        if len(box) < least:
            raise self._broken()
        if box[0] != VERSION:
            raise SealBroken(f"sealed {self._purpose} has format {box[0]}, known is {VERSION}")
        return bytes(box[:_HEAD])

    def _broken(self) -> SealBroken:
        return SealBroken(
            f"sealed {self._purpose} was altered, cut short or belongs to another place"
        )

    def is_current(self, box: bytes) -> bool:
        """Whether a box is sealed under the key that seals now."""
        return box[1 : 1 + _ID] == self._look().id

    def __repr__(self) -> str:
        return f"Sealer({self._purpose!r})"
