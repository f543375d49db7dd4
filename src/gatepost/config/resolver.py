"""Whom to ask for the way to other people's mail servers, and what to believe."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, split_port
from gatepost.config.quantity import Duration


def _server(value: str) -> str:
    host, _ = split_port(value, default=53)
    try:
        ip_address(host)
    except ValueError:
        raise ValueError('expected an address such as "127.0.0.1" or "127.0.0.1:53"') from None
    return value


@dataclass(frozen=True, slots=True, config=STRICT)
class Resolver:
    """DNS, for mail that goes to MX hosts."""

    servers: tuple[Annotated[str, AfterValidator(_server)], ...] = ()
    """Addresses of DNS servers, with or without port; empty: those of /etc/resolv.conf."""
    dnssec: Literal["auto", "trust", "off"] = "auto"
    """Who is believed about DNSSEC, which DANE needs. auto: servers on loopback, or where
    resolv.conf says trust-ad | trust: any | off: nobody."""
    mta_sts: bool = True
    """Fetch and hold the MTA-STS policies of domains (RFC 8461)."""
    ipv6: bool = True
    """Deliver to IPv6 addresses too."""
    timeout: Duration = timedelta(seconds=5)
    """Patience with one DNS server."""

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each server."""
        return tuple(split_port(one, default=53) for one in self.servers)
