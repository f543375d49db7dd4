"""Sub-keys: one for each purpose, drawn from the key-encryption key (HKDF-SHA256, RFC 5869).

Whoever has the sub-key of one purpose opens nothing of another, nor finds the key above it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gatepost.vault.kek import Kek


@dataclass(frozen=True, slots=True)
class Subkey:
    """One purpose's key under each key-encryption key.  Printing it shows no octet of them."""

    purpose: str
    keys: Mapping[bytes, bytes] = field(repr=False)  # by the id of the key above; the first seals

    @property
    def id(self) -> bytes:
        """Under which key is sealed."""
        return next(iter(self.keys))

    @property
    def key(self) -> bytes:
        """What is sealed with."""
        return next(iter(self.keys.values()))


Source = Callable[[], Subkey]  # the sub-key as it is now; raises KeyUnavailable


def draw(kek: Kek, purpose: str) -> Subkey:
    """The sub-key of a purpose."""
    return Subkey(purpose, {one.id: _derived(one, purpose) for one in kek.each})


class Drawn:
    """A `Source` for a process that has the key-encryption key, which may change."""

    def __init__(self, watch: Callable[[], Kek], purpose: str) -> None:
        self._watch, self._purpose = watch, purpose
        self._last: tuple[Kek, Subkey] | None = None

    def __call__(self) -> Subkey:
        """Drawn anew when the key was changed."""
        kek, last = self._watch(), self._last
        if last is None or last[0] is not kek:
            last = self._last = (kek, draw(kek, self._purpose))
        return last[1]


def steady(source: Kek | Source, purpose: str) -> Source:
    """A `Source` of either; a key by itself does not change."""
    if not isinstance(source, Kek):
        return source
    drawn = draw(source, purpose)
    return lambda: drawn


def _derived(kek: Kek, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, None, b"gatepost " + purpose.encode()).derive(kek.key)
