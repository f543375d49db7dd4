"""From a domain to the servers that take its mail, each with the TLS it must offer and why.

RFC 5321 section 5.1 (which hosts), RFC 7672 (DANE), RFC 8461 (MTA-STS).  Hosts are looked up
one at a time: most mail needs only the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address

from gatepost.lookup.resolver import Addresses, NameServiceFailed, Resolver
from gatepost.lookup.sts import Policies
from gatepost.mail.delivery import NextHop, Tlsa
from gatepost.mail.reply import Reply
from gatepost.route import mx
from gatepost.route.security import Demand, Host, secured
from gatepost.route.sts import StsPolicy

Entropy = Callable[[int], bytes]
_NO_ADDRESS = Reply(550, "5.4.4", "The recipient's mail server has no address")


@dataclass(frozen=True, slots=True)
class Exchanges:
    """The hosts that take a domain's mail, in order."""

    domain: str
    hosts: tuple[str, ...]
    authentic: bool = False  # proven by DNSSEC
    implicit: bool = False  # the domain has no MX record: its own address counts
    sts: StsPolicy | None = None


@dataclass(frozen=True, slots=True)
class Destinations:
    """Asks the DNS, and the web for policies."""

    resolver: Resolver
    entropy: Entropy
    ours: str  # this gateway's name
    policies: Policies | None = None  # None: MTA-STS is not looked for

    async def exchanges(self, domain: str) -> Exchanges | Reply:
        """The hosts of a domain, or why it has none; raises NameServiceFailed."""
        try:
            if (address := mx.literal(domain)) is not None:
                return Exchanges(domain, (address,), authentic=True)
        except ValueError:
            return mx.BAD_LITERAL
        answer = await self.resolver.exchanges(domain)
        if not answer.exists:
            return mx.NO_DOMAIN
        found = mx.hosts(domain, answer.records, self.entropy, ours=self.ours)
        if isinstance(found, Reply):
            return found
        sts = await self.policies.of(domain) if self.policies else None
        return Exchanges(domain, found, answer.authentic, not answer.records, sts)

    async def server(
        self, exchanges: Exchanges, host: str, hop: NextHop, demand: Demand
    ) -> NextHop | Reply:
        """One of the hosts as a next hop made like `hop`, or why it must not be used."""
        try:
            found = await self._addresses(host)
            addresses = mx.addresses(found.six, found.four, self.entropy, port=hop.port)
            if not addresses:
                return mx.NO_DOMAIN if exchanges.implicit else _NO_ADDRESS
            base, tlsa = await self._tlsa(exchanges, host, hop.port, found, demand)
        except NameServiceFailed as error:
            return replace(Reply.for_error(error), text=str(error))
        security = secured(
            demand,
            Host(
                exchanges.domain,
                host,
                base,
                authentic_mx=exchanges.authentic,
                tlsa=tlsa,
                sts=exchanges.sts,
            ),
        )
        if isinstance(security, Reply):
            return security
        return replace(
            hop,
            host=host,
            addresses=addresses,
            tls=security.tls,
            names=security.names,
            tlsa=security.tlsa,
            mx=False,
            domain=exchanges.domain,
            why=security.why,
        )

    async def fixed(self, hop: NextHop, demand: Demand) -> NextHop | Reply:
        """A configured server that is to prove itself by DANE (RFC 7672 section 2.2.1)."""
        only = Exchanges(hop.host, (hop.host,), authentic=True)
        found = await self.server(only, hop.host, hop, demand)
        return found if isinstance(found, Reply) else replace(found, domain="")

    async def _addresses(self, host: str) -> Addresses:
        if _is_address(host):
            return Addresses((host,), ()) if ":" in host else Addresses((), (host,))
        return await self.resolver.addresses(host)

    async def _tlsa(
        self, exchanges: Exchanges, host: str, port: int, found: Addresses, demand: Demand
    ) -> tuple[str, tuple[Tlsa, ...]]:
        """The records and the name they stand at, which the server is asked for by SNI."""
        # RFC 7672 section 2.2.2: asked only of zones that are signed; others may not even answer.
        if demand.level == "none" or not (exchanges.authentic and found.authentic):
            return "", ()
        for name in dict.fromkeys((found.canonical or host, host)):
            if records := await self.resolver.tlsa(name, port):
                return name, records
        return "", ()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
