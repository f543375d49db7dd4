"""Asks the authorities above a certificate whether they revoked it, and remembers.

Lists by their distribution points (RFC 5280 section 4.2.1.13), else OCSP by POST without
nonce (RFC 6960).  Whatever is here is used at once and fetched anew in the background; only
what was never had makes anybody wait.  A place that failed is left alone for a while.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from gatepost.certificate import Certificate
from gatepost.errors import GatepostError, Malformed
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence
from gatepost.pki.ocsp import MAXIMUM_SIZE, Answer
from gatepost.pki.place import Status, list_places, responder_places

FAILED = timedelta(minutes=10)  # before a place is asked again that had no good answer
SOONEST = timedelta(minutes=5)
LATEST = timedelta(days=1)
MAXIMUM_PLACES = 4  # of one certificate
MAXIMUM_KEPT = 1000  # lists and answers in memory
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


def places(certificate: Certificate, issuer: Certificate) -> Iterator[Place]:
    """Its lists first, which answer for others too and tell nobody whose mail we read."""
    for url in list_places(certificate):
        yield Place("crl", url)
    for url in responder_places(certificate):
        yield Place("ocsp", url, _question(certificate, issuer))


class Revocations:
    """What is known, for one process."""

    def __init__(
        self,
        fetch: Fetch,
        statuses: Statuses,
        clock: Callable[[], datetime],
        *,
        maximum: int = 20 << 20,
        patience: float = 5.0,
    ) -> None:
        self._fetch, self._statuses, self._clock = fetch, statuses, clock
        self._maximum, self._patience = maximum, patience
        self._known: dict[str, tuple[Status, Crl | Answer | None]] = {}
        self._fetching: dict[str, asyncio.Task[bool]] = {}
        self._evidence: dict[tuple[bool, timedelta], Evidence] = {}

    async def evidence(
        self, chain: tuple[Certificate, ...], *, required: bool, grace: timedelta
    ) -> Evidence:
        """All that is known now, after asking for this path as far as patience goes."""
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.gather(*(self._asked(*pair) for pair in pairwise(chain)))
        except TimeoutError:
            pass  # "not known" is an answer
        return self._current(required=required, grace=grace)

    def fault(self, certificate: Certificate, issuer: Certificate) -> str:
        """Why the last try went wrong, for people."""
        found = (self._known.get(one.id) for one in places(certificate, issuer))
        return next((one[0].fault for one in found if one and one[0].fault), "")

    async def settle(self) -> None:
        """Wait for what is being fetched."""
        while self._fetching:
            await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    def _current(self, *, required: bool, grace: timedelta) -> Evidence:
        key = (required, grace)
        if key not in self._evidence:
            found = [one for _, one in self._known.values()]
            self._evidence[key] = Evidence(
                lists=tuple(one for one in found if isinstance(one, Crl)),
                answers=tuple(one for one in found if isinstance(one, Answer)),
                required=required,
                grace=grace,
            )
        return self._evidence[key]

    async def _asked(self, certificate: Certificate, issuer: Certificate) -> None:
        asked: Iterable[Place] = places(certificate, issuer)
        for place, _ in zip(asked, range(MAXIMUM_PLACES), strict=False):
            if await self._is_answered(place):
                return

    async def _is_answered(self, place: Place) -> bool:
        """Whether there is a good answer from this place, fetched if need be."""
        now = self._clock()
        if place.id not in self._known:
            kept = await asyncio.to_thread(self._statuses.read, place.id)
            if kept is not None and place.id not in self._known:
                self._keep(kept, await asyncio.to_thread(_parsed, kept))
        status, found = self._known.get(place.id, (None, None))
        if status is not None and now < status.due_at:
            return found is not None and _end(found) >= now
        task = self._begin(place)
        if found is not None and _end(found) >= now:
            return True  # good still; nobody waits for the next one
        return await asyncio.shield(task)

    def _begin(self, place: Place) -> asyncio.Task[bool]:
        task = self._fetching.get(place.id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._fetched(place))
            self._fetching[place.id] = task
            task.add_done_callback(lambda _: self._fetching.pop(place.id, None))
        return task

    async def _fetched(self, place: Place) -> bool:
        now = self._clock()
        last, before = self._known.get(place.id, (None, None))
        found: Crl | Answer | None = None
        try:
            maximum = self._maximum if place.kind == "crl" else MAXIMUM_SIZE
            kind = _KIND if place.question else ""
            der = await self._fetch(place.url, maximum, body=place.question, kind=kind)
            found = await asyncio.to_thread(_read, place.kind, der)
            _check_newer(found, before)
            status = Status(place.id, place.kind, place.url, der, now, _due(found, now))
        except GatepostError as error:
            kept, why = last.der if last else None, str(error)[:300]
            status = Status(place.id, place.kind, place.url, kept, now, now + FAILED, why)
            found = before
        self._keep(status, found)
        with suppress(GatepostError):  # a database that is away: it is fetched again some day
            await asyncio.to_thread(self._statuses.write, status)
        return not status.fault and found is not None and _end(found) >= now

    def _keep(self, status: Status, found: Crl | Answer | None) -> None:
        before = self._known.pop(status.id, (None, None))[1]
        self._known[status.id] = (status, found)
        while len(self._known) > MAXIMUM_KEPT:
            self._known.pop(next(iter(self._known)))
        if found is not before:
            self._evidence.clear()


def _read(kind: str, der: bytes) -> Crl | Answer:
    return Crl.from_der(der) if kind == "crl" else Answer.from_der(der)


def _check_newer(found: Crl | Answer, before: Crl | Answer | None) -> None:
    """Whoever plays back an old list would undo a revocation."""
    if before is not None and _begins(found) < _begins(before):
        raise Malformed("what was fetched is older than what was here")


def _parsed(status: Status) -> Crl | Answer | None:
    try:
        return _read(status.kind, status.der) if status.der else None
    except GatepostError:
        return None


def _begins(one: Crl | Answer) -> datetime:
    return one.this_update if isinstance(one, Crl) else one.produced


def _end(one: Crl | Answer) -> datetime:
    """Until when it counts; without an end it does not."""
    ends = [one.next_update] if isinstance(one, Crl) else [end for _, end in one.spans]
    return min((end or _begins(one) for end in ends), default=_begins(one))


def _due(one: Crl | Answer, now: datetime) -> datetime:
    """When three quarters of its time are over, so that the next one is here before its end."""
    span = (_end(one) - _begins(one)) * 3 / 4
    return min(max(_begins(one) + span, now + SOONEST), now + LATEST)


def _question(certificate: Certificate, issuer: Certificate) -> bytes:
    # RFC 5019 section 2.1.1: SHA-1 is what every responder knows; it hides nothing here.
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        certificate.x509,
        issuer.x509,
        hashes.SHA1(),  # noqa: S303
    )
    return builder.build().public_bytes(Encoding.DER)
