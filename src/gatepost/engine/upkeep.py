"""What is to be done from time to time, by one node of all.

Look what ends, fetch revocation in advance, look after the evidence, write to the postmaster.
Mail never waits for any of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from gatepost.certificate import Certificate
from gatepost.config import Settings
from gatepost.engine.archive import Archive
from gatepost.engine.bounce import Bouncer
from gatepost.engine.expiry import PERIOD, alert
from gatepost.engine.herald import DAY, Herald
from gatepost.engine.journal import Journal
from gatepost.engine.schedule import Ticker
from gatepost.engine.standing import Standing
from gatepost.enrol.local import LocalAuthority
from gatepost.errors import GatepostError
from gatepost.events import Event, Name
from gatepost.store.directory import Directory
from gatepost.store.notice import Notice
from gatepost.store.queue_item import NewItem

LIST_SOON = timedelta(days=30)  # before the end of the root's list
LOOK = 60.0  # seconds

Send = Callable[[NewItem], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Duties:
    """What the work is done with."""

    settings: Settings
    directory: Directory
    authority: LocalAuthority | None
    standing: Standing | None
    archive: Archive
    bouncer: Bouncer
    send: Send
    journal: Journal
    clock: Callable[[], datetime]


class Upkeep:
    """The clockwork of one process."""

    def __init__(self, duties: Duties) -> None:
        self._duties = duties
        self._loop: asyncio.AbstractEventLoop | None = None
        directory, journal = duties.directory, duties.journal
        self._tickers = [
            Ticker("expiry", PERIOD, self._look_for_ends, journal),
            Ticker("evidence", LOOK, duties.archive.look, journal),
        ]
        if duties.standing is not None:
            self._tickers.append(Ticker("revocation", LOOK, self._refresh, journal))
        if duties.settings.alerts.mail:
            herald = Herald(directory.notices, directory.turns, self._post, duties.clock)
            self._tickers.append(letters := Ticker("alerts", LOOK, herald.look, journal))
            journal.observe(partial(self._hear, herald, letters))

    def start(self) -> None:
        """Begin."""
        self._loop = asyncio.get_running_loop()
        for one in self._tickers:
            one.start()

    async def stop(self) -> None:
        """End, in the middle of something if need be."""
        for one in self._tickers:
            await one.stop()
        if self._duties.standing is not None:
            await self._duties.standing.close()

    def _hear(self, herald: Herald, letters: Ticker, event: Event) -> None:
        """In whichever thread it is noted."""
        if herald.observe(event) and self._loop is not None:
            self._loop.call_soon_threadsafe(letters.wake)

    async def _look_for_ends(self) -> None:
        """Say which certificates end soon, our TLS one among them, and which list."""
        duties = self._duties
        tls = duties.settings.tls

        def ours() -> tuple[Certificate, ...]:
            return Certificate.from_pem(tls.certificate.read_bytes())[:1] if tls else ()

        now = duties.clock()
        await asyncio.to_thread(alert, duties.directory.alerts, duties.journal, now, more=ours)
        if duties.authority is not None and duties.settings.public.url:
            await asyncio.to_thread(look_at_root_list, duties.authority, duties.journal, now)

    async def _refresh(self) -> None:
        duties = self._duties
        assert duties.standing is not None
        await duties.standing.refresh(duties.journal)
        now = duties.clock()
        take = duties.directory.turns.take
        if await asyncio.to_thread(take, "revocation.tidy", now, now + DAY):
            await duties.standing.revocations.tidy()

    async def _post(self, told: tuple[Notice, ...], now: datetime) -> bool:
        letter = self._duties.bouncer.letter(told, now)
        if letter is None:
            return False
        try:
            await self._duties.send(letter)
        except GatepostError:  # no room, or the database away: it is written later
            return False
        return True


def look_at_root_list(authority: LocalAuthority, journal: Journal, now: datetime) -> None:
    """Say that the root's list ends soon and its key is in a safe."""
    found = authority.revocations(authority.root, now)
    end = found.next_update if found is not None else now
    if end - now < LIST_SOON and authority.root.not_after - now > LIST_SOON:
        remedy = "gatepost ca import-root FILE signs a new one"
        journal.note(Name.AUTHORITY_LIST_DUE, until=end.date().isoformat(), remedy=remedy)
