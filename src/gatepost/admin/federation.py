"""Federation by hand: see who is known, meet a domain now, exchange documents by file."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost.admin.access import opened
from gatepost.config import Settings
from gatepost.config.quantity import domain as as_domain
from gatepost.engine import federation
from gatepost.engine.federation import announcer, peer_of, peers_of, pin
from gatepost.engine.service import Stores
from gatepost.enrol.announcer import Announcer
from gatepost.errors import ConfigError, GatepostError
from gatepost.pki import announcement
from gatepost.pki.announcement import MAXIMUM_SIZE
from gatepost.pki.pinning import Peer

LIST = "gatepost federation list"


@dataclass(frozen=True, slots=True)
class Peers:
    """Some or all of the gateways known."""

    peers: tuple[Peer, ...]
    now: datetime

    def as_data(self) -> list[dict[str, Any]]:
        """Values JSON can carry."""
        return [_data(one, self.now) for one in self.peers]


@dataclass(frozen=True, slots=True)
class Own:
    """A document of ours."""

    domain: str
    text: str

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        said = announcement.read(self.text).announcement
        return {
            "domain": self.domain,
            "key": said.key,
            "sequence": said.sequence,
            "expires": said.expires.isoformat(),
            "document": self.text,
        }


@dataclass(frozen=True, slots=True)
class Key:
    """The key that signs for us."""

    thumbprint: str

    def as_data(self) -> dict[str, str]:
        """Values JSON can carry."""
        return {"key": self.thumbprint}


def every(config: Path | None, now: datetime) -> Peers:
    """Every gateway known, by domain."""
    with opened(config) as (_, stores):
        return Peers(peers_of(stores.directory.register), now)


def export(config: Path | None, domain: str, now: datetime) -> Own:
    """The document of one of our domains, for its web server or for a partner."""
    with opened(config) as (settings, stores):
        name = _domain(domain) if domain else settings.gateway.domains[0]
        return Own(name, _announcer(settings, stores).document(name, now))


def import_(config: Path | None, file: Path, now: datetime, *, new_key: bool = False) -> Peers:
    """Take in a partner's document that came by another way than its web server."""
    text = _read(file)
    try:
        domain = announcement.read(text).announcement.domain
    except GatepostError as error:
        raise ConfigError(f"{file} was not taken: {error}") from error
    with opened(config) as (settings, stores):
        if domain in settings.gateway.domains:
            raise ConfigError(f"{file} is the document of {domain}, which is our own domain")
        return _pinned(stores, domain, text, now, "file", new_key=new_key)


def meet(config: Path | None, domain: str, now: datetime) -> Peers:
    """Fetch a domain's document now."""
    domain = _domain(domain)
    with opened(config) as (settings, stores):
        web = federation.web(settings)
        try:
            fetched = asyncio.run(web.fetch(federation.page(domain)))
        except GatepostError as error:
            raise ConfigError(f"the document of {domain} cannot be fetched: {error}") from error
        text = fetched.octets.decode("utf-8", "replace")
        evidence = "https, dnssec" if fetched.authentic else "https"
        return _pinned(stores, domain, text, now, evidence, new_key=False)


def remove(config: Path | None, domain: str, now: datetime) -> Peers:
    """Forget a gateway; where discovery is on, its next mail introduces it anew."""
    domain = _domain(domain)
    with opened(config) as (_, stores):
        register = stores.directory.register
        known = peer_of(register, domain)
        if known is None:
            raise ConfigError(f"{domain} is not known by federation", hint=LIST)
        register.swap(federation.PEERS + domain, known.written(), None)
        return Peers((known,), now)


def new_key(config: Path | None, now: datetime) -> Key:
    """Sign our documents with a new key from now on, and with the old one beside it."""
    with opened(config) as (settings, stores):
        return Key(_announcer(settings, stores).replace_key(now))


def _pinned(
    stores: Stores, domain: str, text: str, now: datetime, evidence: str, *, new_key: bool
) -> Peers:
    try:
        _, peer = pin(
            stores.directory.register, domain, text, now, evidence=evidence, new_key=new_key
        )
    except GatepostError as error:
        raise ConfigError(f"nothing was changed: {error}", hint=LIST) from error
    return Peers((peer,), now)


def _announcer(settings: Settings, stores: Stores) -> Announcer:
    if stores.authority is None:
        raise ConfigError(
            "there is no certification authority to announce", hint="gatepost init DOMAIN makes one"
        )
    return announcer(settings, stores.authority)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened_:
            octets = opened_.read(MAXIMUM_SIZE + 1)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    if len(octets) > MAXIMUM_SIZE:
        raise ConfigError(f"{file} is larger than {MAXIMUM_SIZE} octets: it is no such document")
    return octets.decode("utf-8", "replace")


def _domain(text: str) -> str:
    try:
        return as_domain(text)
    except ValueError as error:
        raise ConfigError(f"{text!r}: {error}") from error


def _data(one: Peer, now: datetime) -> dict[str, Any]:
    said = one.announcement
    return {
        "domain": one.domain,
        "key": said.key,
        "sequence": said.sequence,
        "evidence": one.evidence,
        "first_seen": one.first_seen.isoformat(),
        "checked": one.checked.isoformat(),
        "expires": said.expires.isoformat(),
        "live": one.is_live(now),
        "encryption": said.encryption,
        "algorithms": list(said.algorithms),
        "authorities": [
            {"name": ca.name, "fingerprint": ca.fingerprint} for ca in said.authorities
        ],
        "certificates": [
            {"name": ca.name, "fingerprint": ca.fingerprint} for ca in said.certificates
        ],
    }
