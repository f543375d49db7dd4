"""Asks the authorities above a certificate whether they revoked it, and remembers.

Lists by their distribution points (RFC 5280 section 4.2.1.13) with their deltas (5.2.6), else
OCSP by POST without nonce (RFC 6960).  Whatever is here is used at once and fetched anew in
the background; only what was never had makes anybody wait, and not where nobody ever answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, pairwise
from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from gatepost.certificate import Certificate
from gatepost.errors import GatepostError
from gatepost.lookup.freshness import Statement, check_newer, due, ends, read, recalled
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence, moved
from gatepost.pki.ocsp import MAXIMUM_SIZE
from gatepost.pki.place import Status, delta_places, list_places, responder_places

FAILED = timedelta(minutes=10)  # before a place is asked again that had no good answer
LEASE = timedelta(minutes=2)  # for whoever fetches on behalf of all nodes
TOUCHED = timedelta(days=1)  # between notes that mail uses a place
USED = timedelta(days=30)  # after that nobody fetches in advance
FORGOTTEN = timedelta(days=90)
MAXIMUM_PLACES = 4  # of one certificate
MAXIMUM_DELTAS = 2  # of one list
MAXIMUM_KEPT = 1000  # lists and answers in memory
MAXIMUM_OCTETS = 256 << 20  # of all of them; some authorities' lists have many mebibytes
MAXIMUM_REFRESHED = 20  # at a time
MAXIMUM_IN_VAIN = 2  # waits without an answer; then mail waits no more for a while
_LANES = 4
_KIND = "application/ocsp-request"


class Fetch(Protocol):
    """Whoever fetches octets from a stranger's URL."""

    async def __call__(self, url: str, maximum: int, *, body: bytes = b"", kind: str = "") -> bytes:
        """The octets; raises a GatepostError."""
        ...


class Statuses(Protocol):
    """Where answers survive a restart, on however many nodes."""

    def read(self, id_: str) -> Status | None:
        """What is kept for a question."""
        ...

    def write(self, one: Status) -> None:
        """Keep how it went."""
        ...

    def use(self, id_: str, now: datetime) -> None:
        """Note that mail asks this."""
        ...

    def due(self, now: datetime, used: datetime, limit: int) -> tuple[Status, ...]:
        """What mail has used since then and is to be asked anew, without the octets."""
        ...

    def claim(self, one: Status, until: datetime) -> bool:
        """Whether this node is to ask, rather than another."""
        ...

    def prune(self, before: datetime) -> int:
        """Forget what nobody has used since."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where to ask what."""

    kind: str
    url: str
    question: bytes = field(default=b"", repr=False)

    @property
    def id(self) -> str:
        """Names the question on every node."""
        octets = f"{self.kind} {self.url} ".encode() + self.question
        return hashlib.sha256(octets).hexdigest()


@dataclass(frozen=True, slots=True)
class Silence:
    """A place that mail depends on and that has said nothing that still counts."""

    url: str
    fault: str


def places(certificate: Certificate, issuer: Certificate) -> Iterator[Place]:
    """Its lists first, which answer for others too and tell nobody whose mail we read."""
    for url in list_places(certificate):
        yield Place("crl", url)
    for url in responder_places(certificate):
        yield Place("ocsp", url, question(certificate, issuer))


class Revocations:
    """What is known, for one process."""

    def __init__(
        self,
        fetch: Fetch,
        statuses: Statuses,
        clock: Callable[[], datetime],
        *,
        maximum: int = 20 << 20,
        patience: float = 3.0,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._fetch, self._statuses, self._clock = fetch, statuses, clock
        self._maximum, self._patience, self._spread = maximum, patience, spread
        self._known: dict[str, tuple[Status, Statement | None]] = {}
        self._octets = 0  # in it
        self._fetching: dict[str, asyncio.Task[bool]] = {}
        self._working: set[asyncio.Task[Any]] = set()
        self._used: dict[str, datetime] = {}
        self._evidence: dict[tuple[bool, bool, timedelta], Evidence] = {}
        self._in_vain, self._until = 0, clock()

    async def evidence(
        self,
        chain: tuple[Certificate, ...],
        *,
        required: bool,
        grace: timedelta,
        where_told: bool = False,
    ) -> Evidence:
        """All that is known now, after asking for this path as far as patience goes.

        Where the answer is not required, nobody waits once some have waited in vain: a gateway
        without a way to the web would delay every mail.
        """
        waits = required or not self.is_cut_off
        asking = [
            self._work(self._asked(*pair, waits=waits))
            for pair in pairwise(chain)
            if any(True for _ in places(*pair))
        ]
        if asking:
            done, pending = await asyncio.wait(asking, timeout=self._patience)
            for one in done:
                one.result()  # a database that is away is no answer
            if pending:  # "not known" is an answer
                self._in_vain += 1
                self._until = self._clock() + FAILED
        return self._current(required=required, where_told=where_told, grace=grace)

    @property
    def is_cut_off(self) -> bool:
        """Whether nobody has answered lately, whoever was asked."""
        return self._in_vain >= MAXIMUM_IN_VAIN and self._clock() < self._until

    def fault(self, certificate: Certificate, issuer: Certificate) -> str:
        """Why the last try went wrong, for people."""
        found = (self._known.get(one.id) for one in places(certificate, issuer))
        return next((one[0].fault for one in found if one and one[0].fault), "")

    async def refresh(self, grace: timedelta = timedelta()) -> tuple[Silence, ...]:
        """Fetch in advance what mail has used and what is due; each by one node.

        Returns the places that have nothing to say that counts, not even with grace.
        """
        now = self._clock()
        found = await asyncio.to_thread(self._statuses.due, now, now - USED, MAXIMUM_REFRESHED)
        lanes = asyncio.Semaphore(_LANES)

        async def fetched(one: Status) -> Silence | None:
            async with lanes:
                return await self._renewed(one, now, grace)

        done = await asyncio.gather(*map(fetched, found))
        return tuple(one for one in done if one is not None)

    async def tidy(self) -> None:
        """Forget what nobody has used for long."""
        await asyncio.to_thread(self._statuses.prune, self._clock() - FORGOTTEN)

    async def settle(self) -> None:
        """Wait for what is being fetched."""
        while self._fetching or self._working:
            waited = (*self._fetching.values(), *self._working)
            await asyncio.gather(*waited, return_exceptions=True)

    async def close(self) -> None:
        """Ask nobody any more."""
        for one in (*self._fetching.values(), *self._working):
            one.cancel()
        await self.settle()

    def _current(self, *, required: bool, where_told: bool, grace: timedelta) -> Evidence:
        key = (required, where_told, grace)
        if key not in self._evidence:
            found = (one for _, one in self._known.values())
            self._evidence[key] = Evidence.of(
                found, required=required, where_told=where_told, grace=grace
            )
        return self._evidence[key]

    async def _asked(self, certificate: Certificate, issuer: Certificate, *, waits: bool) -> None:
        for place in islice(places(certificate, issuer), MAXIMUM_PLACES):
            if not await self._is_answered(place, waits=waits):
                if not waits and place.id in self._fetching:
                    return
                continue
            _, found = self._known.get(place.id, (None, None))
            if isinstance(found, Crl):
                told = dict.fromkeys((*found.freshest, *delta_places(certificate)))
                for url in islice(told, MAXIMUM_DELTAS):
                    await self._is_answered(Place("crl", url), waits=waits)
            return

    async def _is_answered(self, place: Place, *, waits: bool) -> bool:
        """Whether there is a good answer from this place, fetched if need be."""
        now = self._clock()
        await self._recall(place)
        self._touch(place, now)
        status, found = self._known.get(place.id, (None, None))
        is_good = found is not None and ends(found) >= now
        if status is not None and now < status.due_at:
            return is_good
        task = self._begin(place)
        if is_good or not waits:
            return is_good  # good still; nobody waits for the next one
        return await asyncio.shield(task)

    async def _recall(self, place: Place) -> None:
        """Bring to mind what is kept of a place."""
        if place.id in self._known:
            return
        kept = await asyncio.to_thread(self._statuses.read, place.id)
        if kept is not None and place.id not in self._known:
            self._keep(kept, await asyncio.to_thread(recalled, kept))

    def _touch(self, place: Place, now: datetime) -> None:
        before = self._used.get(place.id)
        if before is not None and now - before < TOUCHED:
            return
        if len(self._used) >= MAXIMUM_KEPT:
            self._used.clear()
        self._used[place.id] = now
        self._work(self._noted(place, now))

    async def _noted(self, place: Place, now: datetime) -> None:
        with suppress(GatepostError):  # a database that is away: it is noted another day
            await asyncio.to_thread(self._statuses.use, place.id, now)

    def _begin(self, place: Place) -> asyncio.Task[bool]:
        task = self._fetching.get(place.id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetched(place))
            self._fetching[place.id] = task
            task.add_done_callback(lambda _: self._fetching.pop(place.id, None))
            task.add_done_callback(_heard)
        return task

    def _work(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._working.add(task)
        task.add_done_callback(self._working.discard)
        task.add_done_callback(_heard)
        return task

    async def _renewed(self, one: Status, now: datetime, grace: timedelta) -> Silence | None:
        if not await asyncio.to_thread(self._statuses.claim, one, now + LEASE):
            return None
        place = Place(one.kind, one.place, one.question)
        was_here = place.id in self._known
        await self._recall(place)
        await self._fetched(place, is_claimed=True)
        status, found = self._known.get(place.id, (None, None))
        if not was_here and place.id not in self._used:  # another process works with it
            self._forget(place.id)
        if found is None or moved(ends(found), grace) < now:
            return Silence(place.url, status.fault if status else "")
        return None

    async def _fetched(self, place: Place, *, is_claimed: bool = False) -> bool:
        now = self._clock()
        if not is_claimed and await self._is_done_elsewhere(place, now):
            _, kept = self._known[place.id]
            return kept is not None and ends(kept) >= now
        last, before = self._known.get(place.id, (None, None))
        found: Statement | None = None
        try:
            maximum = self._maximum if place.kind == "crl" else MAXIMUM_SIZE
            kind = _KIND if place.question else ""
            der = await self._fetch(place.url, maximum, body=place.question, kind=kind)
            found = await asyncio.to_thread(read, place.kind, der)
            check_newer(found, before)
            self._in_vain = 0
            again = due(found, now, self._spread())
            status = _status(place, der, now, again)
        except GatepostError as error:
            found = before
            old = last.der if last else None
            status = _status(place, old, now, now + FAILED, str(error)[:300])
        self._keep(status, found)
        with suppress(GatepostError):  # a database that is away: it is fetched again some day
            await asyncio.to_thread(self._statuses.write, status)
        return not status.fault and found is not None and ends(found) >= now

    async def _is_done_elsewhere(self, place: Place, now: datetime) -> bool:
        """Whether another node has asked meanwhile, or is asking; then its answer is here."""
        last, _ = self._known.get(place.id, (None, None))
        if last is None:
            return False
        kept = await asyncio.to_thread(self._statuses.read, place.id)
        if kept is None or kept.due_at <= now:
            return False
        self._keep(kept, await asyncio.to_thread(recalled, kept))
        return True

    def _keep(self, status: Status, found: Statement | None) -> None:
        before = self._known.get(status.id, (None, None))[1]
        self._drop(status.id)
        self._known[status.id] = (status, found)
        self._octets += len(status.der or b"")
        while len(self._known) > MAXIMUM_KEPT or (
            self._octets > MAXIMUM_OCTETS and len(self._known) > 1
        ):
            self._drop(next(iter(self._known)))
        if found is not before:
            self._evidence.clear()

    def _drop(self, id_: str) -> bool:
        gone = self._known.pop(id_, None)
        self._octets -= len((gone and gone[0].der) or b"")
        return gone is not None

    def _forget(self, id_: str) -> None:
        if self._drop(id_):
            self._evidence.clear()


def _heard(task: asyncio.Task[Any]) -> None:
    """Nobody may have waited for how it ended; the next question tells again."""
    if not task.cancelled():
        task.exception()


def _status(
    place: Place, der: bytes | None, now: datetime, again: datetime, fault: str = ""
) -> Status:
    return Status(place.id, place.kind, place.url, der, now, again, fault, place.question)


def question(certificate: Certificate, issuer: Certificate) -> bytes:
    """What a responder is asked."""
    # RFC 5019 section 2.1.1: SHA-1 is what every responder knows; it hides nothing here.
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        certificate.x509,
        issuer.x509,
        hashes.SHA1(),  # noqa: S303
    )
    return builder.build().public_bytes(Encoding.DER)
