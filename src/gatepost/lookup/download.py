"""Fetches what certificates point to over HTTP, without being sent into our own networks.

The URL comes from a stranger: http and https only, no redirect, no proxy, no address that is
not the world's (or allowed), and no more octets or seconds than we grant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from gatepost.errors import Malformed, Refused, Unavailable
from gatepost.lookup.resolver import Resolver
from gatepost.lookup.web import is_public, web_context

if TYPE_CHECKING:
    import httpx2

MAXIMUM_URL = 2048
_ADDRESSES = 3
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Download:
    """Asks web servers for their octets; one for each event loop."""

    resolver: Resolver
    private: Sequence[IPv4Network | IPv6Network] = ()  # where else than in the world
    patience: float = 10.0  # seconds, for one URL

    async def __call__(self, url: str, maximum: int, *, body: bytes = b"", kind: str = "") -> bytes:
        """The octets at a URL, posted to if there is a body; raises a GatepostError."""
        parts = _parts(url)
        try:
            async with asyncio.timeout(self.patience):
                return await self._first(parts, maximum, body, kind)
        except TimeoutError as error:
            raise Unavailable(f"{parts.hostname} does not answer") from error

    async def _first(self, parts: SplitResult, maximum: int, body: bytes, kind: str) -> bytes:
        host = parts.hostname or ""
        fault: Exception = Unavailable(f"{host} has no address")
        for address in (await self._addresses(host))[:_ADDRESSES]:
            if not self._is_allowed(address):
                fault = Refused(f"{host} is at {address}, which is not the world's")
                continue
            try:
                return await self._fetched(parts, address, maximum, body, kind)
            except Unavailable as error:
                fault = error
        raise fault

    async def _addresses(self, host: str) -> tuple[str, ...]:
        try:
            return (str(ip_address(host)),)
        except ValueError:
            found = await self.resolver.addresses(host)
            return (*found.four, *found.six)

    def _is_allowed(self, address: str) -> bool:
        return is_public(address) or any(ip_address(address) in one for one in self.private)

    async def _fetched(
        self, parts: SplitResult, address: str, maximum: int, body: bytes, kind: str
    ) -> bytes:
        import httpx2  # noqa: PLC0415  0.4 s that others save

        host = parts.hostname or ""
        shown = f"[{address}]" if ":" in address else address
        port = parts.port or _PORTS[parts.scheme]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = {"Host": parts.netloc, "Accept-Encoding": "identity"}
        if body:
            fields["Content-Type"] = kind
        client = httpx2.AsyncClient(verify=web_context(), trust_env=False, timeout=self.patience)
        try:
            async with (
                client,
                client.stream(
                    "POST" if body else "GET",
                    f"{parts.scheme}://{shown}:{port}{path}",
                    headers=fields,
                    content=body or None,
                    extensions={"sni_hostname": host},
                ) as response,
            ):
                return await _read(response, host, maximum)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(f"{host}: {str(error) or type(error).__name__}") from error


async def _read(response: httpx2.Response, host: str, maximum: int) -> bytes:
    if response.status_code != 200:
        raise Unavailable(f"{host} says {response.status_code}")
    found = bytearray()
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) > maximum:
            raise Malformed(f"{host} sends more than {maximum} octets")
    return bytes(found)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("a certificate points to something that is no URL") from None
    if len(url) > MAXIMUM_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Refused("a certificate points to something that is no URL")
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or port == 0:
        raise Refused(f"a certificate points to a place of the kind {parts.scheme[:20]!r}")
    return parts
