"""Who the other side is: its address, its certificate, and which networks it belongs to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Networks = tuple[IPv4Network | IPv6Network, ...]
_FINGERPRINT: Final = "sha256:"


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """A client's certificate whose chain the TLS handshake has verified."""

    subject: str  # its common name, for people
    names: tuple[str, ...]  # dNSName alternatives, lower case: what trust may rest on
    fingerprint: str  # SHA-256 of the DER, lower-case hex

    def matches(self, wanted: str) -> bool:
        """Whether it is meant by "sha256:…", by a name, or by "*." and the name's rest.

        The common name never counts (RFC 9525 section 2).  A certificate's own wildcard
        stands for itself only: it names many hosts, and none in particular.
        """
        wanted = wanted.lower()
        if wanted.startswith(_FINGERPRINT):
            return wanted.removeprefix(_FINGERPRINT).replace(":", "") == self.fingerprint
        if wanted.startswith("*."):
            return any(name.partition(".")[2] == wanted[2:] for name in self.names)
        return wanted in self.names


def certificate_of(connection: object) -> PeerCertificate | None:
    """The verified certificate on the other side of a connection's `ssl_object`."""
    if not hasattr(connection, "getpeercert"):
        return None
    octets, fields = connection.getpeercert(binary_form=True), connection.getpeercert()
    if not octets or not fields:  # none was asked for or given, or it was not verified
        return None
    subject = {name: value for part in fields.get("subject", ()) for name, value in part}
    return PeerCertificate(
        subject=str(subject.get("commonName", "")),
        names=tuple(
            str(value).lower() for kind, value in fields.get("subjectAltName", ()) if kind == "DNS"
        ),
        fingerprint=hashlib.sha256(octets).hexdigest(),
    )


@lru_cache(maxsize=4096)
def address(text: str) -> IPv4Address | IPv6Address | None:
    """The address a socket tells; IPv4 inside IPv6 counts as IPv4."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def is_within(peer: str, networks: Networks) -> bool:
    """Whether a peer's address lies in one of these networks."""
    if not networks:
        return False
    found = address(peer)
    return found is not None and any(found in network for network in networks)


def is_loopback(peer: str) -> bool:
    """Whether nobody but this machine hears what is said."""
    found = address(peer)
    return found is not None and found.is_loopback


@lru_cache(maxsize=4096)
def site(peer: str) -> str:
    """Who is counted as one: an IPv4 address, or the /64 that any IPv6 customer has."""
    found = address(peer)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((int(found) >> 64 << 64, 64)))
    return str(found or peer)
