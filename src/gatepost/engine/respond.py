"""Challenge mails of authorities: which are expected, and the responses put into the queue.

A challenge is claimed before its response is stored, so that of several nodes one answers; if
the mail cannot be accepted after all, the claim is given back and the peer sends it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gatepost.config import Settings
from gatepost.config.acme import Acme
from gatepost.engine.journal import Journal, reason_of
from gatepost.enrol.expectation import Expectation, Expectations
from gatepost.events import Name
from gatepost.flow.challenge import Answered, Challenge, Expected
from gatepost.flow.verdict import Outcome
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.store.directory import Directory
from gatepost.store.queue_item import NewItem

PATIENCE: Final = 5.0  # seconds that a challenge waits for the order it belongs to
PERIOD: Final = 0.2


@dataclass(frozen=True, slots=True)
class Challenges:
    """What is expected, by the settings of each source."""

    expectations: Expectations
    sources: Mapping[str, Acme]
    clock: Callable[[], datetime]
    patience: float = PATIENCE

    async def expected(self, mailbox: Mailbox) -> Expected:
        """For whom; an order that is being placed is waited for a while."""
        if not self.sources:
            return Expected()
        until = asyncio.get_running_loop().time() + self.patience
        while True:
            found = await asyncio.to_thread(self.expectations.of, mailbox, self.clock())
            if found is None or found.source not in self.sources:
                return Expected()
            if found.is_settled:
                return Expected(self._challenge(mailbox, found))
            if asyncio.get_running_loop().time() >= until:
                return Expected(unsettled=True)
            await asyncio.sleep(PERIOD)

    def _challenge(self, mailbox: Mailbox, found: Expectation) -> Challenge:
        settings = self.sources[found.source]
        return Challenge(
            mailbox,
            Mailbox.parse(found.sender),
            found.token,
            found.thumbprint,
            found.source,
            order=found.ticket,
            answered=found.answered,
            proof=settings.require_proof,
            boundary=settings.authserv_id,
            delivers=settings.deliver_challenges,
        )


def challenges(
    settings: Settings,
    directory: Directory,
    clock: Callable[[], datetime],
    patience: float = PATIENCE,
) -> Challenges:
    """Those of a configuration."""
    sources = {one.name: one.acme for one in settings.certificate_source if one.acme is not None}
    return Challenges(Expectations(directory.register), sources, clock, patience)


@dataclass(frozen=True, slots=True)
class Respondent:
    """Sends the responses."""

    directory: Directory
    journal: Journal
    identify: Callable[[datetime], str]
    back: Callable[[Mailbox], str]  # the hop of what we ourselves write

    @asynccontextmanager
    async def responses(
        self, outcomes: Sequence[Outcome], now: datetime
    ) -> AsyncIterator[tuple[NewItem, ...]]:
        """What to store along with what becomes of a mail; raises as the directory does."""
        found = [
            one
            for outcome in outcomes
            for one in outcome.message.findings
            if isinstance(one, Answered)
        ]
        claimed = [one for one in found if await self._claimed(one, now)]
        try:
            yield tuple(self._item(one, now) for one in claimed)
        except BaseException:
            for one in claimed:
                await self._disclaimed(one)
            raise
        for one in claimed:
            self.journal.note(
                Name.CHALLENGE_ANSWERED,
                address=str(one.challenge.mailbox),
                source=one.challenge.source,
                to=str(one.to),
            )

    @property
    def _expectations(self) -> Expectations:
        return Expectations(self.directory.register)

    async def _claimed(self, one: Answered, now: datetime) -> bool:
        known = one.challenge
        return await asyncio.to_thread(
            self._expectations.claim, known.mailbox, known.order, one.mark, now
        )

    async def _disclaimed(self, one: Answered) -> None:
        known = one.challenge
        try:
            await asyncio.to_thread(
                self._expectations.disclaim, known.mailbox, known.order, one.mark
            )
        except Exception as error:  # noqa: BLE001  the first failure is what the peer hears of
            self.journal.note(Name.SERVICE_ERROR, service="respond", reason=reason_of(error))

    def _item(self, one: Answered, now: datetime) -> NewItem:
        """From the person's own address, as RFC 8823 section 3.2 has it."""
        envelope = Envelope(one.challenge.mailbox, (Recipient(one.to),), body="7BIT")
        return NewItem(self.identify(now), envelope, self.back(one.to), Octets(one.content))
