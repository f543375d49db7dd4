"""Takes a mail to its next hop: a configured server, or one of those the DNS names.

RFC 5321 section 5.1: hosts in their order, the next one when a host cannot be reached or
does not prove itself.  DNS that does not answer makes mail wait; it returns none.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from gatepost.config import Settings
from gatepost.engine.judgement import unreached
from gatepost.lookup.destination import Destinations
from gatepost.lookup.policy_file import FOLDER, PolicyFiles
from gatepost.lookup.resolver import NameServiceFailed, Resolver, ResolverSettings
from gatepost.lookup.sts import Policies
from gatepost.lookup.web import Web
from gatepost.mail.content import Content
from gatepost.mail.delivery import Attempt, NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.net.relay import Relay
from gatepost.route.security import Demand
from gatepost.smtp.submission import NO_REQUIRETLS, UNVERIFIED

_HOSTS: Final = 3  # tried in one attempt; a retry draws the lot among equals again
_DOMAINS: Final = 5  # of one message at a time
_SILENT: Final = Reply(451, "4.4.1", "No mail server of the domain could be tried")
_TLS_FAILED: Final = frozenset({"4.7.4", "4.7.5"})


class Sender(Protocol):
    """Whoever speaks SMTP to one server."""

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        """Try one mail transaction; one attempt per recipient, whatever happened."""
        ...

    async def close(self) -> None:
        """Close what is idle."""
        ...


def courier(relay: Relay, settings: Settings, clock: Callable[[], datetime]) -> Courier:
    """The courier of a configuration."""
    return Courier(relay, destinations(settings, clock))


def destinations(settings: Settings, clock: Callable[[], datetime]) -> Destinations:
    """Who finds the servers, as the configuration says whom to ask."""
    asks = resolver(settings)
    policies = None
    if settings.resolver.mta_sts:
        files = PolicyFiles(settings.gateway.state / FOLDER)
        policies = Policies(asks, Web(asks), files, clock)
    return Destinations(asks, secrets.token_bytes, settings.gateway.hostname, policies)


def resolver(settings: Settings) -> Resolver:
    """Who asks the DNS, as the configuration says."""
    asked = settings.resolver
    trust = {"auto": None, "trust": True, "off": False}[asked.dnssec]
    return Resolver(
        ResolverSettings(
            asked.endpoints,
            trust,
            asked.timeout.total_seconds(),
            3 * asked.timeout.total_seconds(),
            ipv6=asked.ipv6,
        )
    )


class Courier:
    """Finds the servers of a hop and has mail sent to them; one for each event loop."""

    def __init__(self, sender: Sender, destinations: Destinations) -> None:
        self._sender, self._destinations = sender, destinations

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        """Try one message; one attempt for each recipient, in their order."""
        if hop.mx and hop.host:
            return await self._domain(hop, hop.host, envelope, content)
        if hop.mx:
            return await self._domains(hop, envelope, content)
        if hop.tls == "dane" and not hop.tlsa:
            found = await self._destinations.fixed(hop, Demand("dane"))
            if isinstance(found, Reply):
                return _all(envelope, _for(envelope, found))
            hop = found
        return _told(envelope, await self._sender.deliver(hop, envelope, content))

    async def close(self) -> None:
        """Let go of every connection."""
        await self._sender.close()

    async def _domains(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        """Every recipient's domain by itself."""
        groups: dict[str, list[Recipient]] = {}
        for one in envelope.recipients:
            groups.setdefault(one.mailbox.domain_key, []).append(one)
        few = asyncio.Semaphore(_DOMAINS)

        async def deliver(domain: str, recipients: Sequence[Recipient]) -> tuple[Attempt, ...]:
            async with few:
                return await self._domain(hop, domain, envelope.to(*recipients), content)

        made = await asyncio.gather(*(deliver(*one) for one in groups.items()))
        by_recipient = {one.recipient: one for attempts in made for one in attempts}
        return tuple(by_recipient[one] for one in envelope.recipients if one in by_recipient)

    async def _domain(
        self, hop: NextHop, domain: str, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        try:
            exchanges = await self._destinations.exchanges(domain)
        except NameServiceFailed as error:
            return _all(envelope, replace(Reply.for_error(error), text=str(error)))
        if isinstance(exchanges, Reply):
            return _all(envelope, exchanges)
        demand = Demand(hop.tls, envelope.secure or envelope.requiretls, hop.tls_name)
        passed_over: list[Reply] = []
        last: tuple[Attempt, ...] = ()
        tried = 0
        for host in exchanges.hosts:
            server = await self._destinations.server(exchanges, host, hop, demand)
            if isinstance(server, Reply):
                passed_over.append(server)
                continue
            last = await self._sender.deliver(server, envelope, content)
            tried += 1
            if unreached(last) is None or tried == _HOSTS:
                break
        if not last:
            last = _all(envelope, _for(envelope, _gravest(passed_over)))
        return _told(envelope, last)


def _gravest(replies: Sequence[Reply]) -> Reply:
    """Why no host could even be tried: as long as one may get better, mail waits."""
    waiting = [one for one in replies if one.is_transient]
    return next(iter((*waiting, *replies)), _SILENT)


def _for(envelope: Envelope, reply: Reply) -> Reply:
    """RFC 8689 section 4.2.1: what asks for REQUIRETLS is returned where nobody can keep it."""
    unsafe = reply.status == UNVERIFIED.status
    return replace(NO_REQUIRETLS, text=reply.text) if unsafe and envelope.requiretls else reply


def _told(envelope: Envelope, attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """A server that other mail may well reach is not down for failing what this mail needs."""
    if not envelope.secure:
        return attempts
    return tuple(
        replace(one, reply=replace(one.reply, status=UNVERIFIED.status))
        if not one.remote and one.reply.status in _TLS_FAILED
        else one
        for one in attempts
    )


def _all(envelope: Envelope, reply: Reply) -> tuple[Attempt, ...]:
    return tuple(Attempt(recipient, reply) for recipient in envelope.recipients)
