"""Message authentication under a key of its own purpose, drawn from the key-encryption key.

Every node with the same vault key makes and checks the same codes; nothing else can.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gatepost.vault.kek import Kek


class Mac:
    """HMAC-SHA256 for one purpose; calling it with octets gives 32 octets."""

    __slots__ = ("_key", "_purpose")

    def __init__(self, kek: Kek, purpose: str) -> None:
        self._purpose = purpose
        self._key = HKDF(SHA256(), 32, None, b"gatepost mac " + purpose.encode()).derive(kek.key)

    def __call__(self, data: bytes, /) -> bytes:
        """The code of these octets."""
        return hmac.digest(self._key, data, hashlib.sha256)

    def __repr__(self) -> str:
        return f"Mac({self._purpose!r})"
