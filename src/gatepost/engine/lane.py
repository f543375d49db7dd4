"""One next hop's mail in memory: in order, so many at a time, none while the hop is down.

A hop that nobody has reached yet gets a little mail first, and more with each one it takes.
A lane decides from the clock's value it is given and does nothing itself.  What it has
no room for stays in the database and is fetched when there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from gatepost.flow import retry
from gatepost.mail.reply import Reply
from gatepost.store.queue_item import Item

FEW = 2  # items a lane with nothing to do may always fetch
_UNREACHED = Reply(451, "4.4.1", "the next hop cannot be reached")


@dataclass(slots=True)
class Room:
    """What all lanes together may hold in memory; thousands of them share it."""

    items: int = 20_000
    octets: int = 256 * 1024 * 1024
    held: int = 0
    held_octets: int = 0

    @property
    def is_full(self) -> bool:
        """Whether lanes may hold no more than they need to go on."""
        return self.held >= self.items or self.held_octets >= self.octets

    def change(self, items: int, octets: int) -> None:
        """Account for items that came (or went, when negative)."""
        self.held += items
        self.held_octets += octets


@dataclass(slots=True)
class Lane:
    """The state of one hop."""

    hop: str
    concurrency: int
    capacity: int = 1000  # items in memory
    octets: int = 64 * 1024 * 1024  # of bodies in memory
    opening: int = 1000  # transactions at a time with a hop that has not yet taken any mail
    room: Room = field(default_factory=Room)
    running: int = 0
    more: bool = False  # older items wait in the database; newer ones must not overtake them
    failures: int = 0  # in a row, of reaching the hop
    closed_until: datetime | None = None
    said: Reply = _UNREACHED  # the last failure to reach it
    proven: int = 0  # transactions since it could last not be reached
    unused: int = 0  # looks in a row at which there was nothing to do
    _waiting: deque[Item] = field(default_factory=deque)
    _held: int = 0

    def put(self, item: Item, now: datetime) -> bool:
        """Take an item that was just accepted; False: it must wait in the database."""
        if self.more or self.is_down(now) or self._is_full:
            self.more = True
            return False
        self._append(item)
        return True

    def fill(self, items: Iterable[Item], *, more: bool) -> None:
        """Take what was fetched from the database."""
        for item in items:
            self._append(item)
        self.more = more

    def wants(self, now: datetime) -> int:
        """How many items to fetch from the database: a batch when low, one to probe with."""
        if self.failures:
            return 0 if self.is_down(now) or self.running or self._waiting else 1
        if self.room.is_full:
            return 0 if self._waiting else FEW
        return 0 if len(self._waiting) > self.capacity // 4 or self._is_full else self.capacity // 2

    def take(self, now: datetime) -> Item | None:
        """The next item to start now, if one may be started."""
        allowed = 1 if self.failures else min(self.concurrency, self.opening + self.proven)
        if not self._waiting or self.running >= allowed or self.is_down(now):
            return None
        self.running += 1
        item = self._waiting.popleft()
        self._changed(-1, -item.content.size)
        return item

    def done(self) -> None:
        """An item that was taken is finished with."""
        self.running -= 1

    def reached(self) -> None:
        """The hop answered."""
        self.failures = 0
        self.proven += 1
        self.closed_until = None

    def unreached(self, reply: Reply, now: datetime) -> tuple[Item, ...]:
        """The hop could not be reached: leave it alone for a while; returns what must go back."""
        if not self.is_down(now):  # mails in flight together fail together: once is enough
            self.failures += 1
            self.proven = 0
            self.closed_until = now + retry.pause(self.failures, self.hop)
        self.said = reply
        return self.empty()

    def nudge(self) -> None:
        """Somebody asks that the hop be tried at once."""
        self.closed_until = None

    def is_down(self, now: datetime) -> bool:
        """Whether nothing may be started yet."""
        return self.closed_until is not None and now < self.closed_until

    def waiting(self) -> tuple[Item, ...]:
        """What waits in memory."""
        return tuple(self._waiting)

    def drop(self, numbers: Collection[int]) -> tuple[Item, ...]:
        """Remove these items; returns them."""
        dropped = tuple(item for item in self._waiting if item.number in numbers)
        self._waiting = deque(item for item in self._waiting if item.number not in numbers)
        self._changed(-len(dropped), -sum(item.content.size for item in dropped))
        return dropped

    def empty(self) -> tuple[Item, ...]:
        """Remove everything that waits; it stands in the database all the same."""
        dropped = self.waiting()
        self._waiting.clear()
        self._changed(-len(dropped), -self._held)
        self.more = True
        return dropped

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to remember of the hop."""
        return not (self.running or self._waiting or self.more or self.failures)

    @property
    def _is_full(self) -> bool:
        full = len(self._waiting) >= self.capacity or self._held >= self.octets
        return full or self.room.is_full

    def _append(self, item: Item) -> None:
        self._waiting.append(item)
        self._changed(1, item.content.size)

    def _changed(self, items: int, octets: int) -> None:
        self._held += octets
        self.room.change(items, octets)
