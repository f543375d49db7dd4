"""Looks outside for certificates of people the directory has none of.

Mail waits for an answer only so long.  What was found, and that nothing was found, is kept for
a while; that a source does not answer is kept briefly, and told: later may be better.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gatepost.certificate import Certificate
from gatepost.config import Settings
from gatepost.errors import GatepostError
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import Candidate, Source

KEPT: Final = timedelta(hours=1)
SILENCE: Final = timedelta(seconds=30)
MAXIMUM_KEPT: Final = 20_000

Ask = Callable[[Mailbox], Awaitable[tuple[Certificate, ...]]]


@dataclass(frozen=True, slots=True)
class Found:
    """What the sources have for somebody, and which of them could not be asked."""

    candidates: tuple[Candidate, ...] = ()
    unasked: str = ""


class Sources:
    """Every source configured, in the order in which they are asked."""

    def __init__(
        self,
        asked: tuple[tuple[Source, Ask], ...],
        own: frozenset[str],
        clock: Callable[[], datetime],
        patience: timedelta,
    ) -> None:
        self._asked, self._own, self._clock = asked, own, clock
        self._patience = patience.total_seconds()
        self._kept: dict[str, tuple[datetime, Found]] = {}

    async def find(self, mailbox: Mailbox) -> Found:
        """What the first source that has anything has; raises nothing."""
        if not self._asked or mailbox.domain_key in self._own:
            return Found()
        now = self._clock()
        until, found = self._kept.get(mailbox.key, (now, Found()))
        if now < until:
            return found
        found = await self._found(mailbox)
        if len(self._kept) >= MAXIMUM_KEPT:
            self._kept.clear()
        self._kept[mailbox.key] = (now + (SILENCE if found.unasked else KEPT), found)
        return found

    async def _found(self, mailbox: Mailbox) -> Found:
        unasked: list[str] = []
        try:
            async with asyncio.timeout(self._patience):
                for name, ask in self._asked:
                    try:
                        found = await ask(mailbox)
                    except GatepostError as error:
                        unasked.append(f"{name}: {error}")
                        continue
                    if found:
                        return Found(tuple(Candidate(one, name) for one in found))
        except TimeoutError:
            unasked.append(f"no answer in {self._patience:g} s")
        return Found(unasked="; ".join(unasked))


def sources(
    settings: Settings, own: frozenset[str], clock: Callable[[], datetime]
) -> Sources | None:
    """The sources of a configuration; none where nothing is asked."""
    if not settings.lookup.smimea:
        return None
    from gatepost.engine.courier import resolver  # noqa: PLC0415 - 0.2 s that others save
    from gatepost.lookup import smimea  # noqa: PLC0415

    asks = resolver(settings)
    return Sources(
        (("smimea", lambda mailbox: smimea.certificates(asks, mailbox)),),
        own,
        clock,
        settings.lookup.patience,
    )
