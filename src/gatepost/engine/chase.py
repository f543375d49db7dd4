"""Completes paths that came without an issuer: from the directory, else from the web.

What made a path hold is kept in the directory, where it vouches for nothing by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Final

from gatepost.certificate import Certificate
from gatepost.config import Settings
from gatepost.lookup.issuer import Issuers
from gatepost.pki.choose import Candidate
from gatepost.pki.issuer import gaps
from gatepost.pki.usable import usable_for
from gatepost.pki.validate import Anchors, validate
from gatepost.store.directory import Directory

MAXIMUM_CHASED: Final = 4  # candidates of one mailbox


@dataclass(frozen=True, slots=True)
class Chase:
    """Completes for one process; without `issuers` from the directory only."""

    directory: Directory
    clock: Callable[[], datetime]
    issuers: Issuers | None = None
    keeps: bool = True

    async def above(
        self, certificate: Certificate, extra: Sequence[Certificate], anchors: Anchors
    ) -> tuple[Certificate, ...]:
        """What can be found of the way up; raises Unavailable where the directory is away."""
        known = await asyncio.to_thread(self.directory.issuers_of, certificate)
        whole = (*extra, *known)
        if self.issuers is None or not gaps(certificate, whole, anchors):
            return known
        fetched = await self.issuers.above(certificate, whole, anchors)
        if fetched and self.keeps:
            await asyncio.to_thread(self._keep, certificate, (*whole, *fetched), anchors, fetched)
        return (*known, *fetched)

    async def completed(
        self, candidates: Iterable[Candidate], anchors: Anchors
    ) -> tuple[Candidate, ...]:
        """The candidates, each with what is above it."""
        found = list(candidates)
        lacking = (place for place, one in enumerate(found) if self._is_open(one, anchors))
        chased = tuple(islice(lacking, MAXIMUM_CHASED))
        above = (
            self.above(found[each].certificate, found[each].issuers, anchors) for each in chased
        )
        for each, more in zip(chased, await asyncio.gather(*above), strict=True):
            whole = dict.fromkeys((*found[each].issuers, *more))
            found[each] = replace(found[each], issuers=tuple(whole))
        return tuple(found)

    async def close(self) -> None:
        """Ask nobody any more."""
        if self.issuers is not None:
            await self.issuers.close()

    def _is_open(self, one: Candidate, anchors: Anchors) -> bool:
        """Whether a path is all that it lacks, and something could be done about it."""
        now = self.clock()
        if not one.needs_path or usable_for(one.certificate, "encrypt", now):
            return False
        if validate(one.certificate, one.issuers, anchors, moment=now).trusted:
            return False
        return bool(gaps(one.certificate, one.issuers, anchors))

    def _keep(
        self,
        certificate: Certificate,
        whole: Sequence[Certificate],
        anchors: Anchors,
        fetched: Sequence[Certificate],
    ) -> None:
        """Keep those of a path that holds; a stranger could fill the directory with others."""
        now = self.clock()
        report = validate(certificate, whole, anchors, moment=now)
        for one in report.chain if report.trusted else ():
            if one in fetched:
                self.directory.add_certificate(one, (), now=now)


def chase(
    settings: Settings,
    directory: Directory,
    clock: Callable[[], datetime],
    *,
    keeps: bool = True,
) -> Chase:
    """Who completes paths, as the configuration says."""
    if not settings.lookup.aia:
        return Chase(directory, clock)
    from gatepost.engine.courier import resolver  # noqa: PLC0415  0.2 s that others save
    from gatepost.lookup.download import Download  # noqa: PLC0415

    patience = settings.lookup.patience.total_seconds()
    download = Download(resolver(settings), settings.lookup.private, patience=2 * patience)
    return Chase(directory, clock, Issuers(download, clock, patience), keeps)
