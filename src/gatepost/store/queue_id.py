"""Queue ids: short, unique, sorted by time, and one `grep` away from everything about a message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

# Crockford's base 32: no I, L, O, U to misread over the telephone.
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SERIAL_BITS = 10  # ids within one millisecond before the serial runs ahead of the clock


class Identifier:
    """Makes ids for one process: ten characters of time and serial, three of the process.

    Two processes started together differ by `entropy`; within one, the serial only grows,
    even when the clock is set back.
    """

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._tag = _written(int.from_bytes(entropy(2), "big") >> 1, 3)
        self._serial = 0

    def __call__(self, now: datetime) -> str:
        """A fresh id."""
        milliseconds = int(now.timestamp() * 1000)
        self._serial = max(self._serial + 1, milliseconds << _SERIAL_BITS)
        return _written(self._serial, 11) + self._tag


def _written(number: int, digits: int) -> str:
    return "".join(ALPHABET[number >> 5 * place & 31] for place in reversed(range(digits)))
