"""Who is connected: how many and how often, whom to send away, and waiting until all have left."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from gatepost.mail.reply import Reply
from gatepost.net.peer import site
from gatepost.net.rate import Rate

FULL: Final = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY: Final = Reply(421, "4.7.0", "Too many connections from your address")
TOO_OFTEN: Final = Reply(421, "4.7.0", "Too many new connections from your address")
_IDLE: Final = 2.0  # seconds between two mails after which a client is not about to send one
TOO_MANY_MESSAGES: Final = Reply(450, "4.7.1", "Too many messages from your address, slow down")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many may be connected at once, and how often a stranger may come."""

    total: int = 1000
    per_peer: int = 100
    reserve: int = 50  # further places, for trusted peers only
    patience: float = 10.0  # when full, a stranger silent for so many seconds has to go
    connections_per_minute: int = 0  # of one stranger; 0: any number
    messages_per_minute: int = 0
    failed_logins_per_minute: float = 5


class Guest(Protocol):
    """A connection on the roster."""

    @property
    def silent_since(self) -> float | None:
        """When the peer last did something; None while it waits for us, or is trusted."""
        ...

    @property
    def idle_since(self) -> float | None:
        """When the peer last did something; None within a transaction."""
        ...

    def drain(self) -> None:
        """Leave as soon as the transaction under way is over."""
        ...

    def evict(self, reply: Reply) -> None:
        """Leave now, with this word."""
        ...

    def abort(self) -> None:
        """Leave now."""
        ...


class Roster:
    """The connections of one listener."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._guests: dict[Guest, str] = {}
        self._peers: Counter[str] = Counter()
        self._left = asyncio.Event()
        self._connections = Rate(limits.connections_per_minute)
        self._messages = Rate(limits.messages_per_minute)
        self._logins = Rate(limits.failed_logins_per_minute)

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest, peer: str, *, is_trusted: bool = False) -> Reply | None:
        """Note a connection; the reply turns it away when there are too many."""
        name = site(peer)
        refusal = self._full(is_trusted=is_trusted)
        if refusal is None and not is_trusted:
            refusal = self._stranger(name)
        self._guests[guest] = name
        self._peers[name] += 1
        return refusal

    def _full(self, *, is_trusted: bool) -> Reply | None:
        if len(self._guests) < self._limits.total or self._evict():
            return None
        room = self._limits.total + self._limits.reserve
        return None if is_trusted and len(self._guests) < room else FULL

    def _stranger(self, name: str) -> Reply | None:
        if self._peers[name] >= self._limits.per_peer:
            return TOO_MANY
        is_seldom = self._connections.take(name, self._loop.time())
        return None if is_seldom else TOO_OFTEN

    def _evict(self) -> bool:
        """Send the longest silent stranger away, so that a thousand of them do not stop mail."""
        latest = self._loop.time() - self._limits.patience
        silent = [(since, guest) for guest in self._guests if (since := guest.silent_since)]
        if not silent:
            return False
        since, guest = min(silent, key=lambda one: one[0])
        if since > latest:
            return False
        self.leave(guest)
        guest.evict(FULL)
        return True

    def may_send(self, peer: str) -> bool:
        """Whether a stranger may begin one more message now."""
        return self._messages.take(site(peer), self._loop.time())

    def may_log_in(self, peer: str) -> bool:
        """Whether a peer has not failed too often."""
        return self._logins.allows(site(peer), self._loop.time())

    def failed(self, peer: str) -> None:
        """Note a failed log-in."""
        self._logins.take(site(peer), self._loop.time())

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

    async def retire(self, limit: float) -> None:
        """Let everybody finish in peace; who only keeps a connection open may come again."""
        end = self._loop.time() + limit
        while self._guests and (now := self._loop.time()) < end:
            for guest in tuple(self._guests):
                if (idle := guest.idle_since) is not None and idle < now - _IDLE:
                    guest.drain()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, end - now)):
                    await self._empty()

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
