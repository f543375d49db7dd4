"""Fetches the issuers that a certificate came without (RFC 5280 section 4.2.2.1, RFC 4158 3.5).

The URL comes from a stranger: `Download` says where it may lead.  What is fetched counts only
if it signed what pointed to it, so nothing comes into a path but what belongs there; whether
the path holds is for validation to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from gatepost.certificate import Certificate
from gatepost.errors import GatepostError
from gatepost.lookup.revocation import Fetch
from gatepost.pki import issuer
from gatepost.pki.pem import read_certificates
from gatepost.pki.validate import Anchors

MAXIMUM_DEPTH: Final = 4
MAXIMUM_FETCHED: Final = 6  # URLs for one path
MAXIMUM_SIZE: Final = 64 << 10
MAXIMUM_BAG: Final = 8  # certificates of one answer that are looked at
MAXIMUM_KEPT: Final = 1000
KEPT: Final = timedelta(days=1)
FAILED: Final = timedelta(minutes=10)

Bag = tuple[Certificate, ...]


class Issuers:
    """What was fetched, for one process."""

    def __init__(self, fetch: Fetch, clock: Callable[[], datetime], patience: float) -> None:
        self._fetch, self._clock, self._patience = fetch, clock, patience
        self._kept: dict[str, tuple[datetime, Bag]] = {}
        self._fetching: dict[str, asyncio.Task[Bag]] = {}

    async def above(self, leaf: Certificate, extra: Sequence[Certificate], anchors: Anchors) -> Bag:
        """What is missing on the way up, as far as patience goes; raises nothing."""
        found: dict[Certificate, None] = {}
        left = MAXIMUM_FETCHED
        try:
            async with asyncio.timeout(self._patience):
                for _ in range(MAXIMUM_DEPTH):
                    wanted = [
                        (child, url)
                        for child in issuer.gaps(leaf, (*extra, *found), anchors)
                        for url in issuer.places(child)
                    ][:left]
                    left -= len(wanted)
                    new = [one for pair in wanted for one in await self._issuers(*pair)]
                    if not new:
                        break
                    found.update(dict.fromkeys(new))
        except TimeoutError:
            pass  # what comes later serves the next mail
        return tuple(found)

    async def close(self) -> None:
        """Ask nobody any more."""
        for one in tuple(self._fetching.values()):
            one.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    async def _issuers(self, child: Certificate, url: str) -> list[Certificate]:
        until, bag = self._kept.get(url, (None, ()))
        if until is None or self._clock() >= until:
            bag = await asyncio.shield(self._begun(url))
        return [one for one in bag if issuer.issued(child, one)]

    def _begun(self, url: str) -> asyncio.Task[Bag]:
        task = self._fetching.get(url)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetched(url))
            self._fetching[url] = task
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        return task

    async def _fetched(self, url: str) -> Bag:
        bag: Bag = ()
        try:
            octets = await self._fetch(url, MAXIMUM_SIZE)
            found = await asyncio.to_thread(read_certificates, octets)
            bag = tuple(islice((one for one in found if one.is_authority), MAXIMUM_BAG))
        except GatepostError:
            pass  # it is as if nothing were there
        if len(self._kept) >= MAXIMUM_KEPT:
            self._kept.clear()
        self._kept[url] = (self._clock() + (KEPT if bag else FAILED), bag)
        return bag
