"""Whether other people's certificates were revoked, as strictly as the configuration says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from gatepost.certificate import Certificate
from gatepost.config import Settings
from gatepost.config.revocation import Revocation, Strictness
from gatepost.engine.journal import Journal
from gatepost.events import Name
from gatepost.lookup.revocation import Revocations, Silence
from gatepost.pki.choose import Candidate
from gatepost.pki.evidence import Evidence
from gatepost.pki.place import Status
from gatepost.pki.validate import Anchors, validate
from gatepost.store.status import Statuses

if TYPE_CHECKING:
    from gatepost.lookup.download import Download

PERIOD = 60.0  # seconds between looks for what is to be fetched in advance
MAXIMUM_ASKED = 8  # candidates whose authorities are asked
MAXIMUM_PATHS = 3  # of one candidate: another one where the first is revoked

Chain = tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Asks for one process."""

    revocations: Revocations
    settings: Revocation

    async def of_signer(self, chain: Chain) -> Evidence:
        """What is known of a signer's path."""
        return await self._known(chain, self.settings.inbound)

    async def of_recipient(self, chain: Chain) -> Evidence | None:
        """What is known of a path to encrypt by; nothing where nobody asks."""
        level = self.settings.outbound
        return None if level == "off" else await self._known(chain, level)

    async def of_own(self, chain: Chain) -> Evidence:
        """What is known of our own path, to go along with a signature."""
        return await self._known(chain, "soft")

    async def weighed(
        self, candidates: Iterable[Candidate], anchors: Anchors, now: datetime
    ) -> Anchors:
        """The anchors with what is known of the candidates' paths, to choose by.

        Whoever has candidates, from the directory or from a source outside, asks here first.
        """
        if self.settings.outbound == "off":
            return anchors
        asked = islice(candidates, MAXIMUM_ASKED)
        await asyncio.gather(*(self._asked(one, anchors, now) for one in asked))
        return replace(anchors, evidence=await self.of_recipient(()))

    async def refresh(self, journal: Journal) -> None:
        """Fetch in advance what mail depends on; say what cannot be had."""
        for one in await self.revocations.refresh(self.settings.grace):
            _tell(journal, one)

    async def close(self) -> None:
        """Ask nobody any more."""
        await self.revocations.close()

    async def _asked(self, one: Candidate, anchors: Anchors, now: datetime) -> None:
        """Ask about a candidate's path, and about the next where that one is revoked."""
        asked: set[Chain] = set()
        for _ in range(MAXIMUM_PATHS):
            chain = validate(one.certificate, one.issuers, anchors, moment=now).chain
            if len(chain) < 2 or chain in asked:
                return
            asked.add(chain)
            anchors = replace(anchors, evidence=await self.of_recipient(chain))

    async def _known(self, chain: Chain, level: Strictness) -> Evidence:
        return await self.revocations.evidence(
            chain,
            required=level in {"hard", "grace"},
            where_told=level == "grace",
            grace=self.settings.grace if level == "grace" else timedelta(),
        )


def _tell(journal: Journal, one: Silence) -> None:
    journal.note(Name.REVOCATION_UNKNOWN, place=one.url, reason=one.fault)


def standing(
    settings: Settings,
    statuses: Statuses,
    clock: Callable[[], datetime],
    *,
    keeps: bool = True,
) -> Standing | None:
    """Who asks, as the configuration says; nobody where it is off."""
    asked = settings.revocation
    if asked.inbound == asked.outbound == "off":
        return None
    patience = asked.patience.total_seconds()
    kept = statuses if keeps else _Looking(statuses)
    made = Revocations(_Fetch(settings), kept, clock, maximum=asked.maximum, patience=patience)
    return Standing(made, asked)


class _Looking(Statuses):
    """What is known, for whoever must change nothing."""

    def __init__(self, statuses: Statuses) -> None:
        self._statuses = statuses

    def read(self, id_: str) -> Status | None:
        return self._statuses.read(id_)

    def write(self, one: Status) -> None:
        pass

    def use(self, id_: str, now: datetime) -> None:
        pass


class _Fetch:
    """Loads what it takes to fetch when there is something to fetch."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._download: Download | None = None

    async def __call__(self, url: str, maximum: int, *, body: bytes = b"", kind: str = "") -> bytes:
        if self._download is None:
            from gatepost.engine.courier import resolver  # noqa: PLC0415  0.2 s that others save
            from gatepost.lookup.download import Download  # noqa: PLC0415

            asked = self._settings.revocation
            patience = 2 * asked.patience.total_seconds()
            self._download = Download(resolver(self._settings), asked.private, patience=patience)
        return await self._download(url, maximum, body=body, kind=kind)
