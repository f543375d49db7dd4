"""Where mail for a domain would go: its servers, the TLS each must offer, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost.config import Settings, load
from gatepost.engine.courier import destinations
from gatepost.engine.routing import Routes
from gatepost.engine.service import own_domains
from gatepost.errors import Malformed
from gatepost.lookup.destination import Destinations, Exchanges
from gatepost.lookup.resolver import NameServiceFailed
from gatepost.mail.address import Mailbox
from gatepost.mail.delivery import NextHop
from gatepost.mail.message import Direction
from gatepost.mail.reply import Reply
from gatepost.net.relay import Contact, Relay
from gatepost.net.settings import RelaySettings
from gatepost.route.security import Demand

_HASTY = RelaySettings(connect_timeout=5, greeting_timeout=10, command_timeout=10)


@dataclass(frozen=True, slots=True)
class Request:
    """Which way to look at."""

    mailbox: Mailbox  # somebody there
    connect: bool = False  # also greet the servers
    secure: bool = False  # for mail that only a verified connection will do

    @classmethod
    def parse(cls, text: str, *, connect: bool = False, secure: bool = False) -> Request:
        """From a domain or an address; raises Malformed."""
        if not text.strip("@"):
            raise Malformed("name a domain or an address")
        if "@" in text:
            return cls(Mailbox.parse(text), connect, secure)
        try:
            return cls(Mailbox.parse(f"postmaster@{text}"), connect, secure)
        except Malformed as error:
            raise Malformed(f"{text[:80]!r} is neither a domain nor an address") from error


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the way."""

    name: str
    hop: NextHop | None  # None: it must not be used, or cannot be
    refused: Reply | None = None  # why
    contact: Contact | None = None  # how it answered, if it was asked

    @property
    def good(self) -> bool:
        """Whether mail could go there, as far as anybody looked."""
        return self.hop is not None and (self.contact is None or self.contact.reply.is_positive)

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        hop, contact = self.hop, self.contact
        return {
            "name": self.name,
            "usable": self.good,
            "refused": str(self.refused) if self.refused else None,
            "port": hop.port if hop else None,
            "addresses": list(hop.addresses) if hop else [],
            "tls": hop.tls if hop else None,
            "why": hop.why if hop else "",
            "names": list(hop.names) if hop else [],
            "tlsa": [str(one) for one in hop.tlsa] if hop else [],
            "contact": {
                "reply": str(contact.reply),
                "remote": contact.remote,
                "tls": contact.tls,
                "security": contact.security,
            }
            if contact
            else None,
        }


@dataclass(frozen=True, slots=True)
class Way:
    """Where the mail would go."""

    domain: str
    hop: str  # the hop's name in queue and log
    found: str  # how the servers were found, in words
    policy: str  # the domain's MTA-STS policy, in words
    servers: tuple[Server, ...]
    refused: Reply | None = None  # why there is no server

    @property
    def good(self) -> bool:
        """Whether any server could get the mail."""
        return any(one.good for one in self.servers)

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "domain": self.domain,
            "hop": self.hop,
            "found": self.found,
            "policy": self.policy,
            "refused": str(self.refused) if self.refused else None,
            "servers": [one.as_data() for one in self.servers],
        }


def look(config: Path | None, request: Request, now: datetime) -> Way:
    """Look the way up; connects only if asked, and sends no mail."""
    settings = load(config)
    return asyncio.run(_looked(settings, request, lambda: now))


async def _looked(settings: Settings, request: Request, clock: Callable[[], datetime]) -> Way:
    routes, domain = Routes(settings), request.mailbox.domain_key
    inwards = domain in own_domains(settings)
    name = routes.name(Direction.INBOUND if inwards else Direction.OUTBOUND, request.mailbox)
    hop, finder = routes.hop(name), destinations(settings, clock)
    if hop.mx:
        demand = Demand(hop.tls, request.secure, hop.tls_name)
        way = await _by_mx(finder, replace(hop, host=hop.host or domain), name, demand)
    else:
        way = await _configured(finder, hop, name, domain)
    if not request.connect:
        return way
    relay = Relay(settings.gateway.hostname, _HASTY, clock)
    try:
        servers = [await _greeted(relay, one) for one in way.servers]
    finally:
        await relay.close()
    return replace(way, servers=tuple(servers))


async def _by_mx(finder: Destinations, hop: NextHop, name: str, demand: Demand) -> Way:
    try:
        found = await finder.exchanges(hop.host)
    except NameServiceFailed as error:
        found = replace(Reply.for_error(error), text=str(error))
    if isinstance(found, Reply):
        return Way(hop.host, name, "MX records", "", (), found)
    servers = [_server(host, await finder.server(found, host, hop, demand)) for host in found.hosts]
    return Way(hop.host, name, _words(found), _policy(finder, found), tuple(servers))


async def _configured(finder: Destinations, hop: NextHop, name: str, domain: str) -> Way:
    found = await finder.fixed(hop, Demand("dane")) if hop.tls == "dane" else hop
    return Way(domain, name, "configured", "", (_server(hop.host, found),))


def _server(name: str, found: NextHop | Reply) -> Server:
    return Server(name, None, found) if isinstance(found, Reply) else Server(name, found)


async def _greeted(relay: Relay, server: Server) -> Server:
    if server.hop is None:
        return server
    return replace(server, contact=await relay.greet(server.hop))


def _words(found: Exchanges) -> str:
    kind = "its own address, it has no MX record" if found.implicit else "MX records"
    return f"{kind}, {'proven by DNSSEC' if found.authentic else 'not proven by DNSSEC'}"


def _policy(finder: Destinations, found: Exchanges) -> str:
    policies = finder.policies
    if policies is None:
        return "MTA-STS is switched off"
    fault = policies.fault.get(found.domain, "")
    if found.sts is None:
        return f"MTA-STS: its policy cannot be had: {fault}" if fault else ""
    until = found.sts.fetched + found.sts.maximum_age
    hosts = ", ".join(found.sts.patterns)
    return f"MTA-STS {found.sts.mode}, policy {found.sts.id} until {until:%Y-%m-%d}: {hosts}"
