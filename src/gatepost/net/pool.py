"""Connections to one next hop that wait for their next transaction, and how many may exist."""

from __future__ import annotations

import asyncio
from collections import deque

from gatepost.net.settings import RelaySettings
from gatepost.net.wire import Wire


class Pool:
    """The idle connections to one hop, youngest last, and the slots for all of them."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._idle: deque[tuple[float, Wire]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.slots = asyncio.Semaphore(settings.per_hop)

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
        if not wire.is_reusable or wire.uses >= self._settings.uses:
            wire.close()
            return
        self._idle.append((self._loop.time() + self._settings.idle_timeout, wire))
        if self._timer is None:
            self._arm()

    def close(self) -> None:
        """Close what is idle; connections in use close when they come back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._idle.pop()[1].close()

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._idle[0][0], self._reap)

    def _reap(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._idle and self._idle[0][0] <= now:
            self._idle.popleft()[1].close()
        if self._idle:
            self._arm()
