"""Ends the parts of a service one after another, all of them within a time.

A part that fails or hangs (a database that was cut off) keeps none of the others from
ending; what it had not written down is delivered again later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from gatepost.engine.journal import Journal, reason_of
from gatepost.events import Name

_LEAST = 1.0  # seconds for a part when time is up


class Farewell:
    """The time that is left."""

    def __init__(self, seconds: float, journal: Journal) -> None:
        self._loop = asyncio.get_running_loop()
        self._end, self._journal = self._loop.time() + seconds, journal

    @property
    def left(self) -> float:
        """Seconds."""
        return max(self._end - self._loop.time(), 0.0)

    async def of(self, part: str, ending: Awaitable[object], least: float = _LEAST) -> None:
        """Wait for its end, as long as there is time."""
        try:
            async with asyncio.timeout(max(self.left, least)):
                await ending
        except TimeoutError:
            self._note(part, "it does not end in time, and is left behind")
        except Exception as error:  # noqa: BLE001 - whatever it was, the others must end
            self._note(part, reason_of(error))

    def _note(self, part: str, reason: str) -> None:
        self._journal.note(Name.SERVICE_ERROR, service=f"stopping {part}", reason=reason)
