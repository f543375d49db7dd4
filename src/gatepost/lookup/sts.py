"""Finds, fetches and remembers MTA-STS policies (RFC 8461).

A policy counts until it ends, whatever becomes of its TXT record or its web server
meanwhile (section 5.1): whoever can take those away must not take the policy away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from gatepost.errors import GatepostError
from gatepost.lookup.policy_file import PolicyFiles
from gatepost.lookup.resolver import NameServiceFailed, Resolver
from gatepost.route.sts import StsPolicy, identifier, parse

Fetch = Callable[[str], Awaitable[str]]  # the policy's text, of a policy domain

_KEPT = 10_000  # policies in memory
_TIDY = timedelta(days=1)  # between looks for policies that have ended
_PATIENCE = timedelta(minutes=5)  # section 3.3: before fetching again what could not be fetched


class Policies:
    """The policies of the domains mail was sent to."""

    def __init__(
        self,
        resolver: Resolver,
        fetch: Fetch,
        files: PolicyFiles,
        clock: Callable[[], datetime],
    ) -> None:
        self._resolver, self._fetch, self._files, self._clock = resolver, fetch, files, clock
        self._known: dict[str, StsPolicy] = {}
        self._failed: dict[tuple[str, str], datetime] = {}
        self._fetching: dict[str, asyncio.Task[StsPolicy | None]] = {}
        self._pruned: datetime | None = None
        self.fault: dict[str, str] = {}  # why the latest fetch for a domain failed, for people

    async def of(self, domain: str) -> StsPolicy | None:
        """The policy in force for a domain, if it has one."""
        kept = await self._kept(domain)
        try:
            published = identifier(await self._resolver.text(f"_mta-sts.{domain}"))
        except NameServiceFailed:
            published = None
        if published is None:
            return kept
        if kept is not None and kept.id == published:
            if kept.is_stale(self._clock()):
                self._begin(domain, published)  # nobody waits for it
            return kept
        return await asyncio.shield(self._begin(domain, published)) or kept

    async def settle(self) -> None:
        """Wait for what is being fetched."""
        while self._fetching:
            await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    async def _kept(self, domain: str) -> StsPolicy | None:
        now = self._clock()
        found = self._known.get(domain)
        if found is None or not found.is_live(now):
            found = await asyncio.to_thread(self._files.read, domain)  # another worker's, perhaps
            self._remember(domain, found)
        return found if found is not None and found.is_live(now) else None

    def _remember(self, domain: str, policy: StsPolicy | None) -> None:
        self._known.pop(domain, None)
        if policy is not None:
            self._known[domain] = policy
        while len(self._known) > _KEPT:
            self._known.pop(next(iter(self._known)))

    def _begin(self, domain: str, id_: str) -> asyncio.Task[StsPolicy | None]:
        """Fetch, once for everybody who asks meanwhile."""
        task = self._fetching.get(domain)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetched(domain, id_))
            self._fetching[domain] = task
            task.add_done_callback(lambda _: self._fetching.pop(domain, None))
        return task

    async def _fetched(self, domain: str, id_: str) -> StsPolicy | None:
        now = self._clock()
        if now < self._failed.get((domain, id_), now):
            return None
        try:
            policy = parse(await self._fetch(domain), id_, now)
        except GatepostError as error:
            if len(self._failed) >= _KEPT:
                self._failed.clear()
                self.fault.clear()
            self._failed[domain, id_] = now + _PATIENCE
            self.fault[domain] = str(error)
            return None
        self._failed.pop((domain, id_), None)
        self.fault.pop(domain, None)
        self._remember(domain, policy)
        await asyncio.to_thread(self._files.write, domain, policy)
        if self._pruned is None or now >= self._pruned + _TIDY:
            self._pruned = now
            await asyncio.to_thread(self._files.prune, now)
        return policy
