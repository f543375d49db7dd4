"""A chain of records, each of which names the one before by a digest over everything until then.

A record whose time is over is taken out of its link; the digest of what was there stays, and
the chain holds as before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

FORMAT = "gatepost evidence 1"
BEGINNING = "0" * 64  # what the first record names


@dataclass(frozen=True, slots=True)
class Link:
    """One record in its place."""

    number: int
    at: int  # seconds since 1970
    previous: str
    digest: str
    inside: str  # SHA-256 of the record
    record: bytes | None = field(repr=False)  # none: removed after its time

    @property
    def when(self) -> datetime:
        """When it was kept."""
        return datetime.fromtimestamp(self.at, UTC)

    def emptied(self) -> Link:
        """Its place without the record."""
        return replace(self, record=None)


def linked(number: int, at: int, previous: str, record: bytes) -> Link:
    """The next link: its digest covers its place, its time, the one before and the record."""
    inside = hashlib.sha256(record).hexdigest()
    return Link(number, at, previous, _digest(number, at, previous, inside), inside, record)


def fault(before: Link | None, one: Link) -> str:
    """What is wrong with a link after another; empty when it holds."""
    whole = one.record is None or hashlib.sha256(one.record).hexdigest() == one.inside
    if not whole or _digest(one.number, one.at, one.previous, one.inside) != one.digest:
        return f"record {one.number} is not as it was kept"
    if before and (one.number, one.previous) != (before.number + 1, before.digest):
        return f"record {one.number} does not follow record {before.number}"
    return ""


def objection(links: Iterable[Link]) -> str:
    """What is wrong with a chain; empty when it holds from its first link to its last."""
    before: Link | None = None
    for one in links:
        if wrong := fault(before, one):
            return wrong
        before = one
    return "" if before else "it holds no record"


def _digest(number: int, at: int, previous: str, inside: str) -> str:
    text = f"{FORMAT}\n{number}\n{at}\n{previous}\n{inside}\n"
    return hashlib.sha256(text.encode()).hexdigest()
