"""Asks authorities when they would have their certificates renewed (RFC 9773 section 4.3).

A moment within the window is drawn once and kept for all nodes, with when to ask again.  It only
makes a renewal earlier: whoever says nothing, or nothing of use, leaves our own rule in force.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from random import SystemRandom
from typing import Final

from gatepost.certificate import Certificate
from gatepost.engine.identity import Identities, is_ending, renewal_of
from gatepost.engine.journal import Journal, reason_of
from gatepost.enrol.source import Advice, Advising, CertificateSource
from gatepost.errors import GatepostError, Refused, Unavailable
from gatepost.events import Name

PATIENCE: Final = 120.0  # seconds for one authority
AFTER_FAULT: Final = timedelta(hours=6)
UNKNOWN: Final = timedelta(days=1)  # it knows nothing of the certificate, which will hardly change
YOUNGEST: Final = timedelta(days=1)  # whatever is advised, one new certificate a day at most
AT_A_TIME: Final = 2000
_BEGINNING: Final = "renewal."


@dataclass(frozen=True, slots=True)
class _Known:
    """What an authority said of one certificate."""

    at: str = ""  # when to renew; empty: by our own rule
    again: str = ""  # when to ask again
    start: str = ""
    end: str = ""
    explanation: str = ""
    fault: str = ""  # why it said nothing the last time
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Advisor:
    """One look at all certificates in use; one process an hour has it."""

    identities: Identities
    sources: Mapping[str, CertificateSource]
    journal: Journal
    clock: Callable[[], datetime]
    chance: Callable[[], float] = SystemRandom().random

    async def early(self, before: timedelta) -> frozenset[Certificate]:
        """What is to be renewed before its time, now or until the next look."""
        found: set[Certificate] = set()
        asked = {name: one for name, one in self.sources.items() if isinstance(one, Advising)}
        if not asked:
            return frozenset()
        of = await asyncio.to_thread(self._by_source, frozenset(asked))
        for name, source in asked.items():
            known = await self._known(name, source, of.get(name, ()))
            found |= await asyncio.to_thread(self._due, name, known, before)
        return frozenset(found)

    def _by_source(self, names: frozenset[str]) -> dict[str, tuple[Certificate, ...]]:
        """Those from outside whose time has not come by our own rule."""
        now, ours = self.clock(), self.identities.authority
        found: dict[str, dict[Certificate, None]] = {}
        for one, rule in self.identities.current(now):
            if rule.source not in names or rule.issue == "never" or is_ending(one, now):
                continue
            if ours is None or not ours.has_issued(one):
                found.setdefault(rule.source, {})[one] = None
        return {name: tuple(each) for name, each in found.items()}

    async def _known(
        self, name: str, source: Advising, certificates: Iterable[Certificate]
    ) -> dict[Certificate, _Known]:
        """What was said of these, asked anew where that is due."""
        now, before = self.clock(), await asyncio.to_thread(self._read, name)
        known = {one: before[one.fingerprint] for one in certificates if one.fingerprint in before}
        due = [one for one in certificates if one not in known or _moment(known[one].again) <= now]
        try:
            async with asyncio.timeout(PATIENCE):
                said = await source.advice(due[:AT_A_TIME], now) if due else {}
        except TimeoutError:
            said = dict.fromkeys(due, Unavailable(f"no answer in {PATIENCE:g} s"))
        except Exception as error:  # noqa: BLE001  a source may be a stranger's code
            why = str(error) if isinstance(error, GatepostError) else reason_of(error)
            said = dict.fromkeys(due, Unavailable(why))
        found = {one: self._kept(one, told, known.get(one), now) for one, told in said.items()}
        news = (one.fault for which, one in found.items() if _is_news(one, known.get(which)))
        if faults := list(dict.fromkeys(news)):
            self._note(name, "; ".join(faults[:3]))
        return known | found

    def _kept(
        self, one: Certificate, said: Advice | GatepostError, known: _Known | None, now: datetime
    ) -> _Known:
        if isinstance(said, GatepostError):
            again = (now + (UNKNOWN if isinstance(said, Refused) else AFTER_FAULT)).isoformat()
            last = _Known() if known is None or isinstance(said, Refused) else known
            return replace(last, again=again, fault=str(said))
        start, end = said.start.isoformat(), said.end.isoformat()
        is_same = known is not None and (known.start, known.end) == (start, end)
        last = (
            known if known is not None and is_same else _Known(self._drawn(one, said).isoformat())
        )
        return replace(
            last,
            again=(now + said.again).isoformat(),
            start=start,
            end=end,
            explanation=said.explanation,
            fault="",
        )

    def _drawn(self, one: Certificate, said: Advice) -> datetime:
        """Section 4.3.1: anywhere in the window, as far as it lies before our own moment."""
        end = min(said.end, renewal_of(one))
        return said.start + max(end - said.start, timedelta(0)) * self.chance()

    def _due(
        self, name: str, known: dict[Certificate, _Known], before: timedelta
    ) -> set[Certificate]:
        """Keep what is known, and tell once what is renewed early."""
        now = self.clock()
        early = {
            one
            for one, said in known.items()
            if said.at and _moment(said.at) <= now + before and one.not_before + YOUNGEST <= now
        }
        told = {
            one.fingerprint: asdict(said) | {"is_told": said.is_told or one in early}
            for one, said in known.items()
        }
        register, text = self.identities.directory.register, json.dumps(told)
        last = register.read(_BEGINNING + name)
        if text != (last or "{}"):
            register.swap(_BEGINNING + name, last, text)
        for one in early:
            if not known[one].is_told:
                self._tell(name, one, known[one])
        return early

    def _read(self, name: str) -> dict[str, _Known]:
        text = self.identities.directory.register.read(_BEGINNING + name)
        return {one: _Known(**said) for one, said in json.loads(text or "{}").items()}

    def _tell(self, name: str, one: Certificate, said: _Known) -> None:
        self.journal.note(
            Name.CERTIFICATE_ADVISED,
            subject=one.name,
            fingerprint=one.fingerprint,
            source=name,
            renewal=said.at,
            explanation=said.explanation,
        )

    def _note(self, name: str, why: str) -> None:
        reason = (
            f"{name} does not say when to renew, what it said last or our own rule counts: {why}"
        )
        self.journal.note(Name.SERVICE_ERROR, service="enrolment", reason=reason)


def _is_news(said: _Known, known: _Known | None) -> bool:
    """Whether somebody should hear of a fault: the first time."""
    return said.fault != (known.fault if known else "") and bool(said.fault)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
