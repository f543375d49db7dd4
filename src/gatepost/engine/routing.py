"""Which next hop a message takes; one queued item goes to one hop.

Hops have names: "inbound", "outbound", a routed domain, or "mx:" and the domain whose MX
hosts are meant, so that each domain's mail waits for nobody else's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gatepost.config import Relay, Settings
from gatepost.engine.secret import password
from gatepost.errors import Unavailable
from gatepost.mail.address import Mailbox, domain_key
from gatepost.mail.delivery import Credentials, NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Direction

MX = "mx:"  # no domain has a colon, so no routed one is called like this
MAXIMUM_COPIES = 256 * 1024 * 1024  # octets in the queue for the domains of one message


class Routes:
    """The configured hops by name."""

    def __init__(self, settings: Settings) -> None:
        hops = {
            Direction.INBOUND: settings.next_hop.inbound,
            Direction.OUTBOUND: settings.next_hop.outbound,
        }
        self._hops = {way.value: _next_hop(relay) for way, relay in hops.items() if relay}
        self._exceptions = {
            domain_key(one.domain): _next_hop(one, domain_key(one.domain)) for one in settings.route
        }
        outwards = self._hops.get(Direction.OUTBOUND.value)
        self._is_mx = outwards is not None and outwards.mx
        self._domains = frozenset(map(domain_key, settings.gateway.domains))

    def name(self, direction: Direction, mailbox: Mailbox) -> str:
        """The name of the hop for a recipient."""
        if direction is Direction.OUTBOUND and mailbox.domain_key in self._exceptions:
            return mailbox.domain_key
        if direction is Direction.OUTBOUND and self._is_mx:
            return MX + mailbox.domain_key
        return direction.value

    def back(self, mailbox: Mailbox) -> str:
        """The name of the hop for what we ourselves write: our people's own server, if known."""
        inwards = Direction.INBOUND.value
        if mailbox.domain_key in self._domains and inwards in self._hops:
            return inwards
        name = self.name(Direction.OUTBOUND, mailbox)
        # A gateway for arriving mail only has its company's server and nobody else.
        return name if self._find(name) else inwards

    def hop(self, name: str) -> NextHop:
        """The hop of that name; mail for a route that was removed goes the ordinary way out.

        Raises Unavailable when there is none: arriving mail, which we may have decrypted,
        must not leave the company because its server is missing in the configuration.
        """
        found = self._find(name)
        if found is None and name != Direction.INBOUND.value:
            found = self._hops.get(Direction.OUTBOUND.value)
        if found is None:
            raise Unavailable(f"no next hop is configured for {name} mail: see [next_hop]")
        return found

    def divide(
        self, direction: Direction, envelope: Envelope, size: int = 0
    ) -> Mapping[str, Envelope]:
        """One envelope per hop, each recipient in exactly one.

        A large message to many domains goes to the last of them as one item: what stands
        in the queue must not grow with the length of a list of recipients.
        """
        groups: dict[str, list[Recipient]] = {}
        copies = max(1, MAXIMUM_COPIES // max(size, 1))
        for recipient in envelope.recipients:
            name = self.name(direction, recipient.mailbox)
            if name.startswith(MX) and name not in groups and len(groups) >= copies - 1:
                name = direction.value
            groups.setdefault(name, []).append(recipient)
        return {name: envelope.to(*recipients) for name, recipients in groups.items()}

    def _find(self, name: str) -> NextHop | None:
        found = self._hops.get(name) or self._exceptions.get(name)
        if found is None and name.startswith(MX) and self._is_mx:
            return replace(self._hops[Direction.OUTBOUND.value], host=name.removeprefix(MX))
        return found


def _next_hop(relay: Relay, domain: str = "") -> NextHop:
    return NextHop(
        host=domain if relay.mx else relay.host,
        mx=relay.mx,
        port=relay.port,
        tls=relay.tls,
        tls_name=relay.tls_name,
        tls_ca=str(relay.tls_ca or ""),
        implicit_tls=relay.implicit_tls,
        lmtp=relay.protocol == "lmtp",
        credentials=Credentials(relay.username, password(relay)) if relay.username else None,
        xforward=relay.xforward,
        chunking=relay.chunking,
    )
