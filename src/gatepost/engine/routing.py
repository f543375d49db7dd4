"""Which next hop a message takes; one queued item goes to one hop."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.config import Relay, Settings
from gatepost.mail.address import domain_key
from gatepost.mail.delivery import NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Direction


class Routes:
    """The configured hops by name: "inbound", "outbound" and one per routed domain."""

    def __init__(self, settings: Settings) -> None:
        hops = {
            Direction.INBOUND.value: settings.next_hop.inbound,
            Direction.OUTBOUND.value: settings.next_hop.outbound,
            **{domain_key(route.domain): route for route in settings.route},
        }
        self._hops = {name: _next_hop(relay) for name, relay in hops.items() if relay is not None}

    def name(self, direction: Direction, recipient: Recipient) -> str:
        """The name of the hop for a recipient."""
        if direction is Direction.OUTBOUND and recipient.mailbox.domain_key in self._hops:
            return recipient.mailbox.domain_key
        return direction.value

    def hop(self, name: str) -> NextHop:
        """The hop of that name; mail for a route that was removed goes the ordinary way out."""
        return self._hops.get(name) or self._hops[Direction.OUTBOUND.value]

    def divide(self, direction: Direction, envelope: Envelope) -> Mapping[str, Envelope]:
        """One envelope per hop, each recipient in exactly one."""
        groups: dict[str, list[Recipient]] = {}
        for recipient in envelope.recipients:
            groups.setdefault(self.name(direction, recipient), []).append(recipient)
        return {name: envelope.to(*recipients) for name, recipients in groups.items()}


def _next_hop(relay: Relay) -> NextHop:
    return NextHop(
        host=relay.host,
        port=relay.port,
        tls=relay.tls,
        tls_name=relay.tls_name,
        tls_ca=str(relay.tls_ca or ""),
    )
