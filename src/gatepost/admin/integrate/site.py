"""What an integration needs of gatepost.toml: where the gateway listens, where it hands back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gatepost.config import Listener, Relay, Settings
from gatepost.errors import ConfigError

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  an address to connect to


@dataclass(frozen=True, slots=True)
class Place:
    """An address as a client writes it."""

    host: str
    port: int

    @property
    def bracketed(self) -> str:
        """Without a look-up of MX records, as Postfix wants it."""
        return f"[{self.host}]:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine."""
        return self.host.startswith("127.") or self.host in {"::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Site:
    """The gateway as its neighbours see it."""

    hostname: str
    domains: tuple[str, ...]
    outbound: Place  # where our people's mail goes to it
    inbound: Place | None  # where the world's mail goes to it
    mail_server: Place | None  # where it hands arriving mail to
    relay: Relay | None  # where it hands leaving mail to
    config: Path
    message_size: int

    @property
    def back(self) -> Place:
        """Where it hands all mail back; raises ConfigError when there is no such place."""
        relay, server = self.relay, self.mail_server
        there = None if relay is None or relay.mx else Place(relay.host, relay.port)
        if server is None or there != server:
            raise ConfigError(
                "a filter hands all mail back to the same place, but next_hop.inbound is"
                f" {server and server.bracketed} and next_hop.outbound {relay}",
                hint='[next_hop] inbound = "127.0.0.1:10026", outbound = "127.0.0.1:10026"',
            )
        return server


def site(settings: Settings, config: Path) -> Site:
    """Look at the settings; raises ConfigError when no listener takes our people's mail."""
    outbound = _first(one for one in settings.listener if one.outbound)
    inbound = _first(one for one in settings.listener if one.inbound)
    if outbound is None:
        raise ConfigError(
            "no listener takes outbound mail", hint='a [[listener]] with direction = "both"'
        )
    server = settings.next_hop.inbound
    return Site(
        settings.gateway.hostname,
        settings.gateway.domains,
        _place(outbound),
        _place(inbound) if inbound is not None else None,
        Place(server.host, server.port) if server is not None else None,
        settings.next_hop.outbound,
        config,
        settings.limits.message_size,
    )


def _first(listeners: Iterable[Listener]) -> Listener | None:
    """The one on this machine, if there are several."""
    found = sorted(listeners, key=lambda one: not one.bind.host.startswith(("127.", "::1")))
    return found[0] if found else None


def _place(listener: Listener) -> Place:
    bind = listener.bind
    if not bind.port:
        raise ConfigError(f"listener {listener.label} takes any port; give it one")
    return Place(_ANY.get(bind.host, bind.host), bind.port)
