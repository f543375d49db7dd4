"""Fetches a domain's MTA-STS policy over HTTPS (RFC 8461 section 3.3).

The server must prove the name mta-sts.DOMAIN; no redirect is followed, no proxy asked, and
of what it sends only so much is read as a policy may have.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import lru_cache

from gatepost.errors import Malformed, Unavailable
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
    """Asks the web server of a policy domain; trusts the system's anchors unless told others."""

    resolver: Resolver
    port: int = 443
    anchors: str = ""

    async def __call__(self, domain: str) -> str:
        """The text of the domain's policy; raises Unavailable or Malformed."""
        host = f"mta-sts.{domain}"
        found = await self.resolver.addresses(host)
        addresses = [one for one in (*found.four, *found.six) if is_elsewhere(one, self.port)]
        fault: Exception = Unavailable(f"{host} has no address")
        for address in addresses[:_ADDRESSES]:
            try:
                async with asyncio.timeout(_PATIENCE):
                    return await self._fetched(host, address)
            except TimeoutError:
                fault = Unavailable(f"{host} does not answer")
            except Unavailable as error:
                fault = error
        raise fault

    async def _fetched(self, host: str, address: str) -> str:
        import httpx2  # noqa: PLC0415  0.4 s that a start without MTA-STS saves

        shown = f"[{address}]" if ":" in address else address
        client = httpx2.AsyncClient(
            verify=web_context(self.anchors), trust_env=False, timeout=_PATIENCE
        )
        try:
            async with (
                client,
                client.stream(
                    "GET",
                    f"https://{shown}:{self.port}{_PATH}",
                    headers={"Host": host, "Accept": "text/plain", "Accept-Encoding": "identity"},
                    extensions={"sni_hostname": host},
                ) as response,
            ):
                if response.status_code != 200:  # section 3.3: redirects are not followed
                    raise Unavailable(f"{host} says {response.status_code}")
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if kind != "text/plain":
                    raise Malformed(f"{host} sends {kind[:80] or 'something'}, not text/plain")
                octets = b""
                async for chunk in response.aiter_raw():
                    octets += chunk
                    if len(octets) > MAXIMUM_SIZE:
                        raise Malformed(f"the policy of {host} is larger than {MAXIMUM_SIZE}")
                return octets.decode("utf-8", "replace")
        except httpx2.HTTPError as error:
            raise Unavailable(f"{host}: {str(error) or type(error).__name__}") from error
