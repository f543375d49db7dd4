"""Writes to the postmaster what certificates need: grave things at once, the rest once a day.

Whatever is noted in the journal and stands in the list here is kept until it is told, on
however many nodes.  The letters go under the null path (RFC 5321 section 4.5.5), so that
nothing is ever said about them in turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from gatepost.events import Event, Name
from gatepost.store.notice import Notice, Notices
from gatepost.store.turn import Turns

DAY = timedelta(days=1)
PAUSE = timedelta(minutes=15)  # between letters about grave things
MAXIMUM_TOLD = 100  # in one letter
MAXIMUM_WAITING = 1000  # in memory, until they are kept
KEPT = timedelta(days=400)
FAILED = timedelta(minutes=5)

Post = Callable[[tuple[Notice, ...], datetime], Awaitable[bool]]

_WORDS: Mapping[Name, tuple[str, tuple[str, ...]]] = {
    Name.CERTIFICATE_ENDING: (
        "The certificate of {subject} ends on {until}, in {days} days. SHA-256 {fingerprint}",
        ("fingerprint", "days"),
    ),
    Name.CERTIFICATE_HELD: (
        "Mail to {address} is kept back or refused: its key is another one. {reason}. {remedy}",
        ("address", "fingerprint"),
    ),
    Name.CERTIFICATE_REFUSED: (
        "No certificate for {address}: {source} refused: {reason}. {remedy}",
        ("address", "source", "reason"),
    ),
    Name.REVOCATION_UNKNOWN: (
        "Whether certificates are revoked cannot be learnt from {place}: {reason}",
        ("place", ""),  # the same tomorrow, if it is still so
    ),
    Name.AUTHORITY_LIST_DUE: (
        "The revocation list of the root CA ends on {until}, and its key is not here. {remedy}",
        ("until", ""),
    ),
}


@dataclass(frozen=True, slots=True)
class Herald:
    """Hears the journal of one process."""

    notices: Notices
    turns: Turns
    post: Post
    clock: Callable[[], datetime]
    _waiting: deque[Notice] = field(default_factory=lambda: deque(maxlen=MAXIMUM_WAITING))

    def observe(self, event: Event) -> bool:
        """Take note of an event that the postmaster should hear of; whether at once."""
        one = notice(event)
        if one is None:
            return False
        self._waiting.append(one)
        return one.grave

    async def look(self) -> None:
        """Keep what was heard, and write the letters that are due."""
        await asyncio.to_thread(self._keep)
        now = self.clock()
        grave = await asyncio.to_thread(self.notices.untold, 1, grave=True)
        if grave and await self._written("notice.grave", now, PAUSE, grave=True):
            return
        if await asyncio.to_thread(self.notices.untold, 1):
            await self._written("notice.day", now, DAY)

    async def _written(
        self, turn: str, now: datetime, pause: timedelta, *, grave: bool = False
    ) -> bool:
        if not await asyncio.to_thread(self.turns.take, turn, now, now + pause):
            return False
        told = await asyncio.to_thread(self.notices.untold, MAXIMUM_TOLD, grave=grave)
        if not told or not await self.post(told, now):
            await asyncio.to_thread(self.turns.give_back, turn, now + FAILED)
            return False
        await asyncio.to_thread(self.notices.told, [one.key for one in told], now)
        await asyncio.to_thread(self.notices.prune, now - KEPT)
        return True

    def _keep(self) -> None:
        while self._waiting:
            one = self._waiting[0]
            self.notices.add(one)
            self._waiting.popleft()  # not before: a database that is away loses nothing


def notice(event: Event) -> Notice | None:
    """What to say of an event; nothing of most."""
    words = _WORDS.get(event.name)
    if words is None:
        return None
    text, named = words
    said = {name: _plain(value) for name, value in event.fields.items() if value is not None}
    keys = [said.get(name, event.at.date().isoformat()) for name in named]
    days = event.fields.get("days")
    grave = event.name is Name.CERTIFICATE_HELD or (isinstance(days, int) and days < 1)
    return Notice(
        f"{event.name.value} {hashlib.sha256(json.dumps(keys).encode()).hexdigest()}",
        event.at,
        event.name.value,
        " ".join(text.format_map(_Told(said)).split()),
        grave,
    )


class _Told(dict[str, str]):
    """Fields of an event; one that it does not have is said to be unknown."""

    def __missing__(self, name: str) -> str:
        return "" if name == "remedy" else "unknown"


def _plain(value: object) -> str:
    return " ".join(str(value).split())
