"""What the store asks of whoever holds the key: seal octets, and unseal them again.

The vault implements it; the store must not know how (both stand on one floor).
"""

from __future__ import annotations

from typing import Protocol

from cryptography.exceptions import InvalidTag

from gatepost.errors import GatepostError, Unavailable


class Corrupt(GatepostError):
    """What was stored does not unseal: it was changed, cut short or sealed with another key."""


class Seal(Protocol):
    """Authenticated encryption under a key that never reaches the store."""

    def seal(self, data: bytes, aad: bytes, /) -> bytes:
        """Encrypt `data` and bind it to `aad`."""
        ...

    def unseal(self, data: bytes, aad: bytes, /) -> bytes:
        """Undo `seal`; raises when data or aad differ."""
        ...


def unsealed(seal: Seal, data: bytes, aad: bytes) -> bytes:
    """Unseal; every failure but an absent key is Corrupt."""
    try:
        return seal.unseal(data, aad)
    except Unavailable:
        raise  # the key is locked away: the data may be fine
    except (GatepostError, InvalidTag, ValueError) as error:
        raise Corrupt from error
