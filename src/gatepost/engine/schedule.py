"""Does something again and again, or at once when woken; one failure does not end it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gatepost.engine.journal import Journal, reason_of
from gatepost.events import Name


class Ticker:
    """Calls `action` every `period` seconds."""

    def __init__(
        self, name: str, period: float, action: Callable[[], Awaitable[object]], journal: Journal
    ) -> None:
        self._name = name
        self._period = period
        self._action = action
        self._journal = journal
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first call comes at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """Call the action now rather than at its time."""
        self._woken.set()

    async def stop(self) -> None:
        """End, in the middle of the action if need be."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._action()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next tick may succeed
                self._journal.note(Name.SERVICE_ERROR, service=self._name, reason=reason_of(error))
            # Not wait_for: before Python 3.12 it can swallow the cancellation `stop` sends.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._period):
                    await self._woken.wait()
