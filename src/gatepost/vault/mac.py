"""Message authentication under a key of its own purpose, drawn from the key-encryption key.

Every node with the same vault key makes and checks the same codes; nothing else can.
"""

from __future__ import annotations

import hashlib
import hmac

from gatepost.vault.kek import Kek
from gatepost.vault.subkey import Source, steady


class Mac:
    """HMAC-SHA256 for one purpose; calling it with octets gives 32 octets."""

    __slots__ = ("_purpose", "_source")

    def __init__(self, source: Kek | Source, purpose: str) -> None:
        """A source is that of `purpose_of(purpose)`."""
        self._purpose = purpose
        self._source = steady(source, purpose_of(purpose))

    def __call__(self, data: bytes, /) -> bytes:
        """The code of these octets; raises KeyUnavailable."""
        return hmac.digest(self._source().key, data, hashlib.sha256)

    def __repr__(self) -> str:
        return f"Mac({self._purpose!r})"


def purpose_of(name: str) -> str:
    """What the sub-key of a code is drawn for: never that of a seal."""
    return f"mac {name}"
