"""Looks after the evidence: time stamps over its newest record, signed heads, removal by age.

All of it beside the mail; what failed is tried again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

from gatepost.certificate import Certificate
from gatepost.cms.capability import Signer
from gatepost.config import Settings
from gatepost.errors import GatepostError, KeyUnavailable
from gatepost.lookup.revocation import Fetch
from gatepost.mail.address import Mailbox
from gatepost.store import exhibit
from gatepost.store.evidence import EvidenceStore, Seal
from gatepost.store.turn import Turns
from gatepost.vault.keys import Vault

DAY = timedelta(days=1)
AGAIN = timedelta(minutes=5)  # after a failure
PATIENCE = 30.0  # seconds, for a time stamp
_ANYWHERE = tuple(map(ip_network, ("0.0.0.0/0", "::/0")))  # an administrator named the address


@dataclass(frozen=True, slots=True)
class Archive:
    """The evidence of one directory."""

    settings: Settings
    store: EvidenceStore
    turns: Turns
    seal: Seal
    vault: Vault
    clock: Callable[[], datetime]
    fetch: Fetch | None = None  # none: what is loaded when it is needed

    async def look(self) -> None:
        """Do what is due."""
        asked = self.settings.evidence
        if asked.timestamp_url:
            await self._stamp()
        if asked.heads is not None:
            await self._in_turn("evidence.head", DAY, self._write_head)
        if asked.keep is not None:
            await self._in_turn("evidence.drop", DAY, self._drop)

    async def _stamp(self) -> None:
        asked, now = self.settings.evidence, self.clock()
        last = await asyncio.to_thread(self.store.last)
        if last is None or await asyncio.to_thread(self.store.stamped) >= last.number:
            return
        turn = "evidence.stamp"
        until = now + asked.timestamp_period
        if not await asyncio.to_thread(self.turns.take, turn, now, until):
            return
        from gatepost.lookup import timestamp  # noqa: PLC0415  rare

        try:
            anchors = await asyncio.to_thread(self._anchors)
            token = await timestamp.ask(self._fetch(), asked.timestamp_url, last.digest, anchors)
        except (GatepostError, OSError):
            await asyncio.to_thread(self.turns.give_back, turn, now + AGAIN)
            raise
        await asyncio.to_thread(self.store.stamp, last.number, token, now)

    def _anchors(self) -> tuple[Certificate, ...]:
        path = self.settings.evidence.timestamp_anchors
        return Certificate.from_pem(path.read_bytes()) if path is not None else ()

    def _fetch(self) -> Fetch:
        if self.fetch is not None:
            return self.fetch
        from gatepost.engine.courier import resolver  # noqa: PLC0415  rare
        from gatepost.lookup.download import Download  # noqa: PLC0415

        return Download(resolver(self.settings), _ANYWHERE, patience=PATIENCE)

    async def _in_turn(
        self, turn: str, period: timedelta, work: Callable[[datetime], object]
    ) -> None:
        now = self.clock()
        if not await asyncio.to_thread(self.turns.take, turn, now, now + period):
            return
        try:
            await asyncio.to_thread(work, now)
        except (GatepostError, OSError):
            await asyncio.to_thread(self.turns.give_back, turn, now + AGAIN)
            raise

    def _drop(self, now: datetime) -> None:
        age = self.settings.evidence.keep
        if age is not None:
            self.store.drop(age, self.seal, now=now)

    def _write_head(self, now: datetime) -> None:
        folder, last = self.settings.evidence.heads, self.store.last()
        if folder is None or last is None:
            return
        path = folder / f"head-{last.number:010d}.json"
        if not path.exists():
            _write(path, exhibit.head(last, self._signer(now), now))

    def _signer(self, now: datetime) -> Signer:
        postmaster = Mailbox.parse(self.settings.gateway.postmaster_address)
        signer = self.vault.signer_for(postmaster, now)
        if signer is None:
            raise KeyUnavailable(
                f"there is no key for {postmaster} to sign the head of the evidence with: "
                f"gatepost cert issue {postmaster} makes one"
            )
        return signer


def _write(path: Path, octets: bytes) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(octets)
    beside.replace(path)
