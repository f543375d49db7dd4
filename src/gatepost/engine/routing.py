"""Which next hop a message takes; one queued item goes to one hop."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.config import Relay, Settings
from gatepost.engine.secret import password
from gatepost.errors import Unavailable
from gatepost.mail.address import Mailbox, domain_key
from gatepost.mail.delivery import Credentials, NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Direction


class Routes:
    """The configured hops by name: "inbound", "outbound" and one per routed domain."""

    def __init__(self, settings: Settings) -> None:
        hops = {
            Direction.INBOUND: settings.next_hop.inbound,
            Direction.OUTBOUND: settings.next_hop.outbound,
        }
        self._hops = {way.value: _next_hop(relay) for way, relay in hops.items() if relay}
        self._exceptions = {domain_key(one.domain): _next_hop(one) for one in settings.route}
        self._domains = frozenset(map(domain_key, settings.gateway.domains))

    def name(self, direction: Direction, mailbox: Mailbox) -> str:
        """The name of the hop for a recipient."""
        if direction is Direction.OUTBOUND and mailbox.domain_key in self._exceptions:
            return mailbox.domain_key
        return direction.value

    def back(self, mailbox: Mailbox) -> str:
        """The name of the hop for what we ourselves write: our people's own server, if known."""
        inwards = Direction.INBOUND.value
        if mailbox.domain_key in self._domains and inwards in self._hops:
            return inwards
        name = self.name(Direction.OUTBOUND, mailbox)
        # A gateway for arriving mail only has its company's server and nobody else.
        return name if name in self._hops or name in self._exceptions else inwards

    def hop(self, name: str) -> NextHop:
        """The hop of that name; mail for a route that was removed goes the ordinary way out.

        Raises Unavailable when there is none: arriving mail, which we may have decrypted,
        must not leave the company because its server is missing in the configuration.
        """
        found = self._hops.get(name) or self._exceptions.get(name)
        if found is None and name != Direction.INBOUND.value:
            found = self._hops.get(Direction.OUTBOUND.value)
        if found is None:
            raise Unavailable(f"no next hop is configured for {name} mail: see [next_hop]")
        return found

    def divide(self, direction: Direction, envelope: Envelope) -> Mapping[str, Envelope]:
        """One envelope per hop, each recipient in exactly one."""
        groups: dict[str, list[Recipient]] = {}
        for recipient in envelope.recipients:
            groups.setdefault(self.name(direction, recipient.mailbox), []).append(recipient)
        return {name: envelope.to(*recipients) for name, recipients in groups.items()}


def _next_hop(relay: Relay) -> NextHop:
    return NextHop(
        host=relay.host,
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
