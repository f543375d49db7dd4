"""Certificates of authorities outside: ask for one, see what is under way, bring one by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost.admin.access import expect_ours, opened
from gatepost.certificate import Certificate
from gatepost.config import Settings
from gatepost.config.certificate_source import LOCAL
from gatepost.config.identity import Identity
from gatepost.engine.enroller import Enroller, accepted
from gatepost.engine.enrolment import identities
from gatepost.engine.issuer import Surroundings, issuer
from gatepost.engine.journal import Journal
from gatepost.engine.service import Stores
from gatepost.enrol import rule
from gatepost.enrol.file import written
from gatepost.enrol.source import Issued
from gatepost.errors import ConfigError
from gatepost.events import Event, Name
from gatepost.store.record import Entry, address_key
from gatepost.store.request import KINDS, Request
from gatepost.vault.custody import key_id_of


@dataclass(frozen=True, slots=True)
class Asked:
    """What asking came to at once."""

    pending: tuple[Request, ...]
    issued: tuple[Entry, ...]

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "pending": [one.as_data() for one in self.pending],
            "issued": [one.certificate.fingerprint for one in self.issued],
        }


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is under way."""

    requests: tuple[Request, ...]

    def as_data(self) -> list[dict[str, Any]]:
        """Values JSON can carry."""
        return [one.as_data() for one in self.requests]


@dataclass(frozen=True, slots=True)
class Written:
    """Requests as others take them."""

    requests: tuple[Request, ...]

    @property
    def text(self) -> str:
        """All of them in PEM."""
        return "".join(written(one.pkcs10) for one in self.requests)

    def as_data(self) -> list[dict[str, Any]]:
        """Values JSON can carry."""
        return [
            {
                "address": one.address,
                "purpose": one.purpose,
                "source": one.source,
                "csr": written(one.pkcs10),
            }
            for one in self.requests
        ]


def csr(config: Path | None, address: str) -> Written:
    """An address's open requests (PKCS #10), to be carried to an authority by hand."""
    with opened(config) as (_, stores):
        found = stores.directory.requests.of(address)
    if not found:
        raise ConfigError(
            f"nothing is asked for {address}", hint=f"gatepost cert request {address}"
        )
    return Written(found)


def pending(config: Path | None) -> Waiting:
    """Every request, the oldest first."""
    with opened(config) as (_, stores):
        return Waiting(stores.directory.requests.all())


def request(config: Path | None, address: str, source: str, now: datetime) -> Asked:
    """Ask for an address's certificates now; what was refused, or asked elsewhere, anew.

    A request that is under way at the same source is only asked about.
    """
    with opened(config) as (settings, stores):
        key = address_key(address)
        expect_ours(settings, key.rpartition("@")[2])
        return asyncio.run(_requested(settings, stores, key, source, now))


def give_up(config: Path | None, address: str) -> Waiting:
    """Forget an address's requests, and the keys made for them."""
    with opened(config) as (_, stores):
        requests = stores.directory.requests
        found = requests.of(address)
        if not found:
            raise ConfigError(f"nothing is asked for {address}", hint="gatepost cert pending")
        return Waiting(tuple(one for one in found if requests.drop(one)))


def finished(
    stores: Stores, certificates: Sequence[Certificate], now: datetime
) -> dict[Certificate, str]:
    """Finish the requests these answer; a sentence for each.  Raises Refused for a wrong one."""
    told = {}
    for one in certificates:
        found = _answered(stores, one)
        if found is not None:
            chain = accepted(found, Issued((one, *certificates)), now)
            stores.directory.requests.finish(found, chain, now=now)
            told[one] = f"{found.address} waited for this from {found.source!r}, and has it now"
    return told


def _answered(stores: Stores, one: Certificate) -> Request | None:
    if one.is_authority or one.public_key is None:
        return None
    return stores.directory.requests.by_key(key_id_of(one.public_key))


async def _requested(
    settings: Settings, stores: Stores, address: str, source: str, now: datetime
) -> Asked:
    ours = identities(settings, stores.directory, stores.vault, stores.authority)
    await ours.rules.refresh()
    found = _chosen(settings, address, source, ours.rules.of(address))
    requests = stores.directory.requests
    for one in requests.of(address):
        if one.ended or one.source != found.source:
            requests.drop(one)
    purposes = rule.purposes(found, address)
    for purpose in purposes:
        before = stores.directory.enrolled(address, KINDS[purpose][0])
        replaced = before.fingerprint if before else ""
        ours.ask(address, purpose, found, now, replaced, by_hand=True)
    journal = _Silent(lambda: now)
    around = Surroundings(settings, stores.directory, stores.vault, lambda: now, journal)
    made = {one.name: issuer(one, around) for one in _named(settings, found.source)}
    enroller = Enroller(ours, made, journal, lambda: now)
    for one in requests.of(address):
        await enroller.ask(one)
    left = requests.of(address)
    done = {kind for one in purposes for kind in KINDS[one]}
    done -= {kind for one in left for kind in KINDS[one.purpose]}
    issued = (stores.directory.enrolled(address, kind) for kind in sorted(done))
    entries = (stores.directory.entry(one.fingerprint) for one in dict.fromkeys(issued) if one)
    return Asked(left, tuple(entries))


def _chosen(settings: Settings, address: str, source: str, found: Identity) -> Identity:
    if source == LOCAL or (not source and found.source == LOCAL):
        raise ConfigError(
            f"certificates of {address} come from the embedded CA",
            hint=f"gatepost cert issue {address}, or --source NAME",
        )
    if source and not _named(settings, source):
        known = ", ".join(one.name for one in settings.certificate_source) or "none"
        raise ConfigError(
            f"no [[certificate_source]] is called {source!r}", hint=f"there are: {known}"
        )
    return replace(found, source=source or found.source)


def _named(settings: Settings, name: str) -> list[Any]:
    return [one for one in settings.certificate_source if one.name == name]


class _Silent(Journal):
    """A command says itself what happened."""

    def note(self, name: Name, queue_id: str = "", **fields: Any) -> Event:
        return Event(name, self._clock(), queue_id, fields)
