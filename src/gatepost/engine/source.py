"""Looks outside for certificates of people the directory has none of.

Sources are asked in their order until one has what can be used.  Mail waits only so long: each
has its share of that, and one that fails again and again is left alone for a while, and told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from gatepost.config import Settings
from gatepost.config.ldap import Ldap
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.secret import password
from gatepost.errors import GatepostError, LimitExceeded
from gatepost.events import Name
from gatepost.lookup.ldap import LdapDirectory
from gatepost.lookup.offer import Offer
from gatepost.mail.address import Mailbox, domain_key
from gatepost.pki.choose import Candidate, Source
from gatepost.smime.word import Word

KEPT: Final = timedelta(hours=1)
SILENCE: Final = timedelta(seconds=30)
MAXIMUM_KEPT: Final = 20_000
FAILURES: Final = 3  # in a row, before a source is left alone
REST: Final = timedelta(minutes=1)
_EVER: Final = float("inf")

Ask = Callable[[Mailbox], Awaitable[Offer]]
Enough = Callable[[tuple[Candidate, ...]], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One source."""

    source: Source
    name: str  # for people
    ask: Ask = field(repr=False)
    patience: float = _EVER  # seconds
    domains: frozenset[str] = frozenset()  # whom it is asked about; empty: everybody
    apart: bool = False  # each domain has servers of its own, which fail by themselves


@dataclass(frozen=True, slots=True)
class Found:
    """What the sources have for somebody, and which of them could not be asked."""

    candidates: tuple[Candidate, ...] = ()
    unasked: str = ""
    remarks: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()  # of their owners


@dataclass(slots=True)
class _Health:
    """How a source has been doing."""

    failures: int = 0
    until: datetime | None = None  # it is left alone
    fault: str = ""


class Sources:
    """Every source configured, in the order in which they are asked."""

    def __init__(
        self,
        asked: tuple[Asked, ...],
        own: frozenset[str],
        clock: Callable[[], datetime],
        patience: timedelta,
        journal: Journal | None = None,
    ) -> None:
        self._asked, self._own, self._clock = asked, own, clock
        self._patience, self._journal = patience.total_seconds(), journal
        self._kept: dict[tuple[int, str], tuple[datetime, Found]] = {}
        self._health: dict[tuple[int, str], _Health] = {}

    async def find(self, mailbox: Mailbox, enough: Enough) -> Found:
        """What they have, asked until it is `enough`; raises nothing."""
        if mailbox.domain_key in self._own:
            return Found()
        asked = [
            (number, one)
            for number, one in enumerate(self._asked)
            if not one.domains or mailbox.domain_key in one.domains
        ]
        loop, left = asyncio.get_running_loop(), self._patience
        found: list[Candidate] = []
        unasked: list[str] = []
        remarks: list[str] = []
        words: list[Word] = []
        for position, (number, one) in enumerate(asked):
            began = loop.time()
            answer = await self._answer(number, one, mailbox, left / (len(asked) - position))
            left = max(0.0, left - (loop.time() - began))
            found += answer.candidates
            unasked += [answer.unasked] if answer.unasked else []
            remarks += answer.remarks
            words += answer.words
            if answer.candidates and await enough(tuple(found)):
                break
        return Found(tuple(found), "; ".join(unasked), tuple(remarks), tuple(words))

    async def _answer(self, number: int, one: Asked, mailbox: Mailbox, share: float) -> Found:
        now, key = self._clock(), (number, mailbox.key)
        until, found = self._kept.get(key, (now, Found()))
        if now < until:
            return found
        where = (number, mailbox.domain_key if one.apart else "")
        health = self._health.get(where, _Health())
        if health.until is not None and now < health.until:
            return Found(unasked=f"{one.name}: left alone for a while, {health.fault}")
        if health.failures >= FAILURES:
            health.until = now + REST  # one tries whether it is back; others do not wait with him
        found = await self._found(one, mailbox, min(share, one.patience), where)
        if len(self._kept) >= MAXIMUM_KEPT:
            self._kept.clear()
        self._kept[key] = (now + (SILENCE if found.unasked else KEPT), found)
        return found

    async def _found(
        self, one: Asked, mailbox: Mailbox, seconds: float, where: tuple[int, str]
    ) -> Found:
        if seconds <= 0:  # others took all of it, which says nothing of this one
            return Found(unasked=f"{one.name}: there was no time left to ask")
        try:
            async with asyncio.timeout(seconds):
                offer = await one.ask(mailbox)
        except TimeoutError:
            return self._failed(one, where, f"no answer in {seconds:g} s")
        except LimitExceeded as error:  # it is there, and asking again makes its answer no smaller
            self._back(one, where)
            return Found(remarks=(f"{one.name}: {error}",))
        except GatepostError as error:
            return self._failed(one, where, str(error))
        except Exception as error:  # noqa: BLE001  a source must not stop mail
            return self._failed(one, where, reason_of(error))
        self._back(one, where)
        made = tuple(Candidate(each, one.source, offer.issuers) for each in offer.certificates)
        remarks = tuple(f"{one.name}: {each}" for each in offer.remarks)
        return Found(made, remarks=remarks, words=offer.words)

    def _failed(self, one: Asked, where: tuple[int, str], fault: str) -> Found:
        if len(self._health) >= MAXIMUM_KEPT:
            self._health.clear()
        health = self._health.setdefault(where, _Health())
        health.failures += 1
        health.fault = fault
        if health.failures >= FAILURES:
            health.until = self._clock() + REST
        if health.failures == FAILURES:
            self._note(Name.SOURCE_SKIPPED, one, where, fault)
        return Found(unasked=f"{one.name}: {fault}")

    def _back(self, one: Asked, where: tuple[int, str]) -> None:
        health = self._health.pop(where, None)
        if health is not None and health.failures >= FAILURES:
            self._note(Name.SOURCE_BACK, one, where)

    def _note(self, name: Name, one: Asked, where: tuple[int, str], reason: str = "") -> None:
        if self._journal is not None:
            self._journal.note(name, source=one.name, domain=where[1], reason=reason)


def directory(where: Ldap) -> LdapDirectory:
    """One of the directories, with its password; raises ConfigError."""
    return LdapDirectory(where, password(where) if where.user else "")


def sources(
    settings: Settings,
    own: frozenset[str],
    clock: Callable[[], datetime],
    journal: Journal | None = None,
) -> Sources | None:
    """The sources of a configuration; none where nothing is asked."""
    asked = [_ldap(one) for one in settings.ldap if one.certificates]
    if settings.lookup.smimea:
        asked.append(_smimea(settings))
    if not asked:
        return None
    return Sources(tuple(asked), own, clock, settings.lookup.patience, journal)


def _ldap(where: Ldap) -> Asked:
    made = directory(where)
    domains = frozenset(map(domain_key, where.domains))
    seconds = where.timeout.total_seconds()
    return Asked("ldap", f"ldap {where.host}", made.certificates, seconds, domains)


def _smimea(settings: Settings) -> Asked:
    from gatepost.engine.courier import resolver  # noqa: PLC0415 - 0.2 s that others save
    from gatepost.lookup import smimea  # noqa: PLC0415

    asks = resolver(settings)

    return Asked("smimea", "smimea", partial(smimea.certificates, asks), apart=True)
