"""What can be set about connections; seconds by RFC 5321 section 4.5.3.2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Network, ip_address

from gatepost.smtp.settings import ServerSettings

Networks = tuple[IPv4Network | IPv6Network, ...]


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """How the connections of one listener are treated."""

    server: ServerSettings
    listener: str = ""
    command_timeout: float = 300.0
    data_timeout: float = 600.0
    decision_timeout: float = 540.0  # a client waits 10 minutes for the last reply
    handshake_timeout: float = 30.0
    memory_limit: int = 256 * 1024  # a larger message goes to the application's sink
    forward_from: Networks = ()  # who may say XFORWARD

    def for_peer(self, peer: str, *, starttls: bool) -> ServerSettings:
        """The session settings for one client."""
        forward = self.server.forward or _is_within(peer, self.forward_from)
        if (forward, starttls) == (self.server.forward, self.server.starttls):
            return self.server
        return replace(self.server, forward=forward, starttls=starttls)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """How next hops are treated."""

    connect_timeout: float = 30.0
    greeting_timeout: float = 300.0
    command_timeout: float = 300.0
    block_timeout: float = 180.0
    final_timeout: float = 600.0
    handshake_timeout: float = 30.0
    per_hop: int = 20  # connections open to one hop at a time
    idle_timeout: float = 20.0  # an unused connection is closed after this
    uses: int = 1000  # transactions on one connection


def _is_within(peer: str, networks: Networks) -> bool:
    if not networks:
        return False
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in networks)
