"""Seconds for what must not be believed too long, also by a machine that was suspended."""

from __future__ import annotations

import time
from typing import Final

# CLOCK_MONOTONIC stands still while the machine does.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds since some moment in the past."""
    return time.clock_gettime(_CLOCK)
