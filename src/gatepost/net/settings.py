"""What can be set about connections; seconds by RFC 5321 section 4.5.3.2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gatepost.net.peer import Networks, is_loopback, is_within
from gatepost.smtp.settings import ServerSettings


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
    transaction_timeout: float = 3600.0  # from MAIL to the end of the data
    minimum_rate: float = 128.0  # octets in a second of a message, after the grace
    rate_grace: float = 60.0
    login_delay: float = 1.0  # before a failed log-in is answered
    trusted: Networks = ()  # whom no rate limits
    forward_from: Networks = ()  # who may say XFORWARD
    substitute_from: Networks = ()  # who may say XCLIENT

    def is_trusted(self, peer: str) -> bool:
        """Whether the peer is one of ours."""
        return is_within(peer, self.trusted)

    def for_peer(self, peer: str, *, starttls: bool) -> ServerSettings:
        """The session settings for one client."""
        server = self.server
        forward = server.forward or is_within(peer, self.forward_from)
        substitute = server.substitute or is_within(peer, self.substitute_from)
        in_clear = server.auth_in_clear or (bool(server.mechanisms) and is_loopback(peer))
        wanted = (forward, substitute, in_clear, starttls)
        if wanted == (server.forward, server.substitute, server.auth_in_clear, server.starttls):
            return server
        return replace(
            server,
            forward=forward,
            substitute=substitute,
            auth_in_clear=in_clear,
            starttls=starttls,
        )


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
    per_server: int = 60  # and to one MX host, which takes the mail of many domains
    total: int = 500  # connections open to all hops; beyond it idle ones are closed
    addresses: int = 4  # of one hop, tried one after another
    idle_timeout: float = 20.0  # an unused connection is closed after this
    idle_kept: int = 2  # so many of a hop; the others…
    spare_timeout: float = 2.0  # …after this: a hop has other clients too
    uses: int = 1000  # transactions on one connection
    identity: tuple[Path, Path] | None = None  # our certificate and key, for hops that ask
