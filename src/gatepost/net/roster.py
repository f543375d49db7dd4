"""Who is connected: connection limits, and waiting until everyone has left."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final, Protocol

from gatepost.mail.reply import Reply

FULL: Final = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY: Final = Reply(421, "4.7.0", "Too many connections from your address")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many may be connected at once."""

    total: int = 1000
    per_peer: int = 100


class Guest(Protocol):
    """A connection on the roster."""

    def drain(self) -> None:
        """Leave as soon as the transaction under way is over."""
        ...

    def abort(self) -> None:
        """Leave now."""
        ...


class Roster:
    """The connections of one listener."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._guests: dict[Guest, str] = {}
        self._peers: Counter[str] = Counter()
        self._left = asyncio.Event()

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest, peer: str) -> Reply | None:
        """Note a connection; the reply turns it away when there are too many."""
        refusal = None
        if len(self._guests) >= self._limits.total:
            refusal = FULL
        elif self._peers[peer] >= self._limits.per_peer:
            refusal = TOO_MANY
        self._guests[guest] = peer
        self._peers[peer] += 1
        return refusal

    def leave(self, guest: Guest) -> None:
        """Note that a connection is gone."""
        peer = self._guests.pop(guest, None)
        if peer is None:
            return
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]
        if not self._guests:
            self._left.set()

    async def drain(self, grace: float) -> None:
        """Let transactions end; whoever is still here after the grace is cut off."""
        for guest in tuple(self._guests):
            guest.drain()
        try:
            async with asyncio.timeout(grace):
                await self._empty()
        except TimeoutError:
            for guest in tuple(self._guests):
                guest.abort()
            await self._empty()

    async def _empty(self) -> None:
        while self._guests:
            self._left.clear()
            await self._left.wait()
