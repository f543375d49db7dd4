"""How long tests wait for what must come: bounds for a loaded machine, never something to measure."""

import asyncio
import os
import time
from collections.abc import Callable

PATIENCE = float(os.environ.get("GATEPOST_PATIENCE", "60"))  # seconds; busy machines need more


def until(done: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Return once it is so; fails after a while."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.02)


async def soon(done: Callable[[], bool], what: str = "it never happened") -> None:
    """The same for what this very loop has to do: the other side's notice takes its turns."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.005)
