"""Fetches what a domain says of itself over HTTPS, such as its MTA-STS policy (RFC 8461 3.3).

The server must prove the name that is asked for; no redirect is followed, no proxy asked, and
of what it sends only so much is read as a page of its kind may have.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from gatepost.errors import Malformed, Unavailable
from gatepost.lookup.page import Fetched, Page
from gatepost.lookup.resolver import Resolver
from gatepost.route.mx import is_elsewhere
from gatepost.route.sts import MAXIMUM_SIZE

_PATIENCE = 20.0  # seconds for everything; section 3.3 suggests a minute at most
_ADDRESSES = 3
_PATH = "/.well-known/mta-sts.txt"


@lru_cache(maxsize=4)
def web_context(anchors: str = "") -> ssl.SSLContext:
    """A context that verifies names as RFC 9525 does: common names do not count."""
    context = ssl.create_default_context(cafile=anchors or None)
    context.hostname_checks_common_name = False
    return context


@dataclass(frozen=True, slots=True)
class Web:
    """Asks web servers; trusts the system's anchors unless told others."""

    resolver: Resolver
    port: int = 443
    anchors: str = ""
    public: bool = False  # only servers at addresses that anybody can reach
    patience: float = _PATIENCE

    async def __call__(self, domain: str) -> str:
        """The text of a domain's MTA-STS policy; raises Unavailable or Malformed."""
        page = Page(f"mta-sts.{domain}", _PATH, ("text/plain",), MAXIMUM_SIZE)
        return (await self.fetch(page)).octets.decode("utf-8", "replace")

    async def fetch(self, page: Page) -> Fetched:
        """The page from the first of the host's servers that has it; raises as above."""
        found = await self.resolver.addresses(page.host)
        addresses = [one for one in (*found.four, *found.six) if self._may_be_asked(one)]
        fault: Exception = Unavailable(f"{page.host} has no address")
        for address in addresses[:_ADDRESSES]:
            try:
                async with asyncio.timeout(self.patience):
                    return Fetched(await self._fetched(page, address), found.authentic)
            except TimeoutError:
                fault = Unavailable(f"{page.host} does not answer")
            except Unavailable as error:
                fault = error
        raise fault

    def _may_be_asked(self, address: str) -> bool:
        return is_elsewhere(address, self.port) and (not self.public or is_public(address))

    async def _fetched(self, page: Page, address: str) -> bytes:
        import httpx2  # noqa: PLC0415  0.4 s that a start without MTA-STS saves

        shown = f"[{address}]" if ":" in address else address
        client = httpx2.AsyncClient(
            verify=web_context(self.anchors), trust_env=False, timeout=self.patience
        )
        host, accepted = page.host, ", ".join(page.kinds)
        try:
            async with (
                client,
                client.stream(
                    "GET",
                    f"https://{shown}:{self.port}{page.path}",
                    headers={"Host": host, "Accept": accepted, "Accept-Encoding": "identity"},
                    extensions={"sni_hostname": host},
                ) as response,
            ):
                if response.status_code != 200:  # RFC 8461 section 3.3: no redirects
                    raise Unavailable(f"{host} says {response.status_code}")
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind not in page.kinds:
                    said = kind[:80] or "something"
                    raise Malformed(f"{host} sends {said}, not {page.kinds[0]}")
                octets = b""
                async for chunk in response.aiter_raw():
                    octets += chunk
                    if len(octets) > page.maximum:
                        raise Malformed(f"{page.path} of {host} is larger than {page.maximum}")
                return octets
        except httpx2.HTTPError as error:
            raise Unavailable(f"{host}: {str(error) or type(error).__name__}") from error


def is_public(text: str) -> bool:
    """Whether an address is the world's: no stranger may send us into our own networks."""
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inside is not None and not inside.is_global:
            return False
    return address.is_global and not address.is_multicast
