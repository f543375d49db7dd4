"""Asks authorities outside for certificates, files what they issue, and renews in time.

Of several processes one asks: it holds the request's line while it does.  What came is looked
at before it is used; a wrong answer ends the request as a refusal does, and says what to do.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from gatepost.certificate import Certificate
from gatepost.engine.advisor import Advisor
from gatepost.engine.identity import Identities
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.proof import proof
from gatepost.engine.schedule import Ticker
from gatepost.enrol import receipt
from gatepost.enrol.source import CertificateSource, Issued, Pending, Proof, Wanted, unproved
from gatepost.errors import ConfigError, GatepostError, Refused, Unavailable
from gatepost.events import Name
from gatepost.pki.usable import usable_for
from gatepost.store.directory import Directory
from gatepost.store.request import KINDS, MAXIMUM_STATE, Outcome, Request

PERIOD: Final = 30.0  # seconds between looks at what is under way
UPKEEP_PERIOD: Final = 600.0  # and between looks whether it is time for the upkeep
UPKEEP: Final = timedelta(hours=1)  # how often one of all processes renews
PATIENCE: Final = 120.0  # seconds that a source may take; far below `store.request.LEASE`
SOONEST, LATEST = timedelta(seconds=5), timedelta(days=1)  # when a source may want to be asked
FIRST, LONGEST = timedelta(minutes=1), timedelta(hours=6)  # pauses after failures
SKEW: Final = timedelta(days=1)  # how far in the future a new certificate may begin
AT_A_TIME: Final = 8
_LOOKED: Final = "enrolment.looked"


def pause(tries: int) -> timedelta:
    """How long to wait after so many failures, one after the other."""
    return min(FIRST * (1 << min(tries - 1, 16)), LONGEST)


def accepted(request: Request, given: Issued, now: datetime) -> tuple[Certificate, ...]:
    """The chain to file; raises Refused saying what is wrong with it."""
    chain = receipt.issued(_wanted(request), given.chain, now).chain
    at = max(now, chain[0].not_before)
    if at > now + SKEW:
        raise Refused(f"the certificate is not valid before {at:%Y-%m-%d}")
    for kind in KINDS[request.purpose]:
        if wrong := usable_for(chain[0], "sign" if kind == "sign" else "encrypt", at):
            raise Refused(f"the certificate cannot be used to {kind}: {wrong[0]}")
    return chain


@dataclass(slots=True)
class Enroller:
    """One per process."""

    identities: Identities
    sources: Mapping[str, CertificateSource]
    journal: Journal
    clock: Callable[[], datetime]
    is_leaving: bool = False  # a long round of new keys ends with the key at hand

    @property
    def _directory(self) -> Directory:
        return self.identities.directory

    async def look(self) -> None:
        """Ask about everything that is due and that nobody else asks about."""
        due = await asyncio.to_thread(self._directory.requests.due, self.clock())
        limit = asyncio.Semaphore(AT_A_TIME)

        async def one(request: Request) -> None:
            async with limit:
                await self.ask(request)

        done = await asyncio.gather(*map(one, due), return_exceptions=True)
        for fault in done:
            if isinstance(fault, BaseException):  # of the database; all others were asked
                raise fault

    async def ask(self, request: Request) -> Outcome | None:
        """Ask about one request; what it came to, or nothing when another asks or it is done."""
        holder = secrets.token_hex(16)
        requests = self._directory.requests
        if not await asyncio.to_thread(requests.claim, request, holder, self.clock()):
            return None
        try:
            answer = await self._answer(request)
            if isinstance(answer, Issued):
                await asyncio.to_thread(self._file, request, answer)
                return None
            outcome = self._waiting(request, answer)
        except asyncio.CancelledError:  # we stop: whoever comes next need not wait for us
            with suppress(Exception):
                requests.settle(request, holder, _unchanged(request))
            raise
        except Refused as error:
            outcome = self._refused(request, str(error))
        except Exception as error:  # noqa: BLE001  a source may be a stranger's code
            outcome = self._failed(request, error)
        await asyncio.to_thread(requests.settle, request, holder, outcome)
        return outcome

    async def keep(self) -> None:
        """Renew what ends soon and provide for who is listed; one process an hour does."""
        for fault in await self.identities.rules.refresh():
            self.journal.note(Name.SERVICE_ERROR, service="enrolment", reason=fault)
        if await asyncio.to_thread(self._is_ours, self.clock()):
            advisor = Advisor(self.identities, self.sources, self.journal, self.clock)
            await asyncio.to_thread(self._keep, await advisor.early(UPKEEP))

    async def _answer(self, request: Request) -> Issued | Pending:
        source = self.sources.get(request.source)
        if source is None:
            raise ConfigError(f"there is no usable [[certificate_source]] {request.source!r}")
        replaced = await asyncio.to_thread(self._replaced, request)
        lend = partial(
            proof, self._directory, self.identities.vault, request, replaced, self.clock()
        )
        wanted = _wanted(request, replaced, lend)
        try:
            async with asyncio.timeout(PATIENCE):
                if request.state is None:
                    return await source.request(wanted, self.clock())
                return await source.collect(wanted, request.state, self.clock())
        except TimeoutError as error:
            raise Unavailable(f"no answer in {PATIENCE:g} s") from error

    def _replaced(self, request: Request) -> Certificate | None:
        try:
            return (
                self._directory.entry(request.replacing).certificate if request.replacing else None
            )
        except ConfigError:  # deleted since
            return None

    def _file(self, request: Request, given: Issued) -> None:
        now = self.clock()
        chain = accepted(request, given, now)
        if self._directory.requests.finish(request, chain, now=now):
            note_issued(self.journal, request.address, chain[0], request.source)

    def _waiting(self, request: Request, answer: Pending) -> Outcome:
        if len(answer.state) > MAXIMUM_STATE:
            raise Refused(f"the source wants {len(answer.state)} characters remembered")
        if answer.waits_for != request.waits_for:
            self._note(Name.CERTIFICATE_WAITING, request, waits_for=answer.waits_for)
        due = self.clock() + min(max(answer.again, SOONEST), LATEST)
        return Outcome(due, answer.state, answer.waits_for)

    def _refused(self, request: Request, why: str) -> Outcome:
        self._note(
            Name.CERTIFICATE_REFUSED,
            request,
            reason=why,
            remedy=f"gatepost cert request {request.address} asks anew",
        )
        return Outcome(self.clock(), request.state, "", request.tries + 1, why, ended=True)

    def _failed(self, request: Request, error: Exception) -> Outcome:
        why = str(error) if isinstance(error, GatepostError) else reason_of(error)
        if why != request.fault:
            self._note(Name.SERVICE_ERROR, request, service="enrolment", reason=why)
        tries = request.tries + 1
        due = self.clock() + pause(tries)
        return Outcome(due, request.state, request.waits_for, tries, why)

    def _is_ours(self, now: datetime) -> bool:
        register = self._directory.register
        known = register.read(_LOOKED)
        if known is not None and now < datetime.fromisoformat(known) + UPKEEP:
            return False
        return register.swap(_LOOKED, known, now.isoformat())

    def _keep(self, early: frozenset[Certificate]) -> None:
        for one in self.identities.keep(self.clock(), early):
            if self.is_leaving:
                return
            if one.issued is not None:
                note_issued(self.journal, one.address, one.issued, "local")
            if one.fault:
                self.journal.note(
                    Name.SERVICE_ERROR, service="enrolment", address=one.address, reason=one.fault
                )

    def _note(self, name: Name, request: Request, **fields: str) -> None:
        self.journal.note(name, address=request.address, source=request.source, **fields)


class Enrolment:
    """The Enroller at its hours."""

    def __init__(self, enroller: Enroller) -> None:
        self.identities, journal = enroller.identities, enroller.journal
        self._enroller = enroller
        self._asking = Ticker("enrolment", PERIOD, enroller.look, journal)
        self._keeping = Ticker("upkeep", UPKEEP_PERIOD, enroller.keep, journal)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin; the first looks come at once."""
        self._loop = asyncio.get_running_loop()
        self._asking.start()
        self._keeping.start()

    async def stop(self) -> None:
        """End; what a source was asked meanwhile is asked again later."""
        self._enroller.is_leaving = True
        await self._asking.stop()
        await self._keeping.stop()

    def wake(self) -> None:
        """There is something new to ask for; from any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asking.wake)


def note_issued(journal: Journal, address: str, one: Certificate, source: str) -> None:
    """Somebody has a new certificate."""
    journal.note(
        Name.CERTIFICATE_ISSUED,
        address=address,
        fingerprint=one.fingerprint,
        until=one.not_after.date().isoformat(),
        source=source,
    )


def _wanted(
    request: Request,
    replacing: Certificate | None = None,
    lend: Callable[[], Proof | None] = unproved,
) -> Wanted:
    return Wanted(request.address, request.purpose, request.pkcs10, replacing, lend)


def _unchanged(request: Request) -> Outcome:
    return Outcome(request.due, request.state, request.waits_for, request.tries, request.fault)
