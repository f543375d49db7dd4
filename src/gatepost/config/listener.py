"""An address where mail is taken, and whom it trusts there."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Bind, Network, Protocol
from gatepost.config.quantity import File

Direction = Literal["outbound", "inbound", "both"]
ListenerTls = Literal["off", "offer", "require", "implicit"]
Mode = Literal["enforce", "monitor"]
_LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass(frozen=True, slots=True, config=STRICT)
class Listener:
    """An address where mail is taken."""

    bind: Bind
    """Address and port, "127.0.0.1:10025"."""
    direction: Direction
    """outbound: our people's mail | inbound: the world's | both: told apart by peer and domains."""
    name: str = ""
    """A name for logs and traces; empty: the direction."""
    trusted: tuple[Network, ...] = _LOOPBACK
    """Networks that may send outbound mail here; everybody else is a stranger."""
    tls: ListenerTls = "off"
    """off | offer STARTTLS | require STARTTLS | implicit: from the first octet (port 465)."""
    protocol: Protocol = "smtp"
    """smtp | lmtp: one reply for each recipient (RFC 2033)."""
    authentication: bool = False
    """Offer AUTH (PLAIN, LOGIN, SCRAM-SHA-256); who logs in may send outbound mail."""
    trusted_certificates: tuple[str, ...] = ()
    """Clients that may send outbound mail: "mail.example.com", "*.example.com" or "sha256:..."."""
    client_ca: File | None = None
    """File (PEM) of issuers or of the very certificates for these; absent: the system's issuers."""
    proxies: tuple[Network, ...] = ()
    """Load balancers here begin each connection with a PROXY header (v1 or v2)."""
    xclient: tuple[Network, ...] = ()
    """Proxies here may say by XCLIENT who their client is."""
    smtputf8: bool = False
    """Take internationalised addresses (RFC 6531); the next hops must take them too."""
    forwards: bool = False
    """Take outbound mail with a stranger's return path, as aliases that lead outside make it."""

    mode: Mode | None = None
    """enforce | monitor, for mail that enters here; absent: as [gateway] says."""

    @property
    def label(self) -> str:
        """The name for logs and traces."""
        return self.name or self.direction

    @property
    def outbound(self) -> bool:
        """Whether our people's mail may enter here."""
        return self.direction != "inbound"

    @property
    def inbound(self) -> bool:
        """Whether the world's mail may enter here."""
        return self.direction != "outbound"

    def trusts(self, peer: str) -> bool:
        """Whether an address lies in a trusted network; IPv4 inside IPv6 counts as IPv4."""
        address = _address(peer)
        return address is not None and any(address in network for network in self.trusted)

    @model_validator(mode="after")
    def _check(self) -> Listener:
        if self.trusted_certificates and self.tls == "off":
            raise ValueError("trusted_certificates needs tls")
        if self.client_ca is not None and not self.trusted_certificates:
            raise ValueError("client_ca without trusted_certificates trusts nobody")
        if self.protocol == "lmtp" and self.bind.port == 25:
            raise ValueError("LMTP is not spoken on port 25 (RFC 2033 section 5)")
        return self


@lru_cache(maxsize=1024)  # asked several times for each mail
def _address(peer: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
