"""Connections to one next hop that wait for their next transaction, and how many may exist."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gatepost.net.settings import RelaySettings
from gatepost.net.wire import Wire


class Pool:
    """The idle connections to one hop, youngest last, and the slots for all of them.

    `emptied` is called when nothing is left to remember.
    """

    def __init__(self, settings: RelaySettings, slots: int, emptied: Callable[[], object]) -> None:
        self._settings, self._emptied = settings, emptied
        self._users = self._users_with_slot = 0
        self._loop = asyncio.get_running_loop()
        self._idle: deque[tuple[float, Wire]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._slots = asyncio.Semaphore(slots)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for the right to use one connection."""
        self._users += 1
        try:
            async with self._slots:
                self._users_with_slot += 1
                try:
                    yield
                finally:
                    self._users_with_slot -= 1
        finally:
            self._users -= 1
            self._look()

    def _look(self) -> None:
        if not self._users and not self._idle:
            self._emptied()

    @property
    def idle(self) -> int:
        """How many connections wait."""
        return len(self._idle)

    @property
    def open(self) -> int:
        """How many connections there may be: whoever has a slot has one, or is opening it."""
        return self._users_with_slot + len(self._idle)

    def take(self) -> Wire | None:
        """The youngest connection that still looks alive."""
        while self._idle:
            _, wire = self._idle.pop()
            if wire.is_reusable:
                return wire
            wire.close()
        return None

    def put(self, wire: Wire) -> None:
        """Keep a connection for the next transaction, or close it."""
        settings = self._settings
        if not wire.is_reusable or wire.uses >= settings.uses:
            wire.close()
            return
        is_spare = len(self._idle) >= settings.idle_kept
        kept = settings.spare_timeout if is_spare else settings.idle_timeout
        self._idle.append((self._loop.time() + kept, wire))
        self._arm()

    def drop(self) -> bool:
        """Close the connection that waits longest; False: none waits."""
        if not self._idle:
            return False
        self._idle.popleft()[1].close()
        self._look()
        return True

    def close(self) -> None:
        """Close what is idle; connections in use close when they come back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.pop()[1].close()

    def _arm(self) -> None:
        first = min(end for end, _ in self._idle)
        if self._timer is not None:
            if self._timer.when() <= first:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(first, self._reap)

    def _reap(self) -> None:
        self._timer = None
        now = self._loop.time()
        for end, wire in self._idle:
            if end <= now:
                wire.close()
        self._idle = deque(one for one in self._idle if one[0] > now)
        if self._idle:
            self._arm()
        self._look()
