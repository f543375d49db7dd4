"""Choose the certificate to encrypt with: usable ones first, then the best (RFC 8550 section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Literal

from gatepost.certificate import Certificate
from gatepost.mail.address import Mailbox
from gatepost.pki.change import Known, changes
from gatepost.pki.identity import matches
from gatepost.pki.usable import usable_for
from gatepost.pki.validate import Anchors, validate

MAXIMUM_CANDIDATES = 64
MAXIMUM_BESIDE = 8  # more devices nobody has; each costs an operation with its key
_ADMINISTRATORS = frozenset({"issued", "pinned", "imported"})

Source = Literal["issued", "pinned", "imported", "harvested", "federation", "ldap", "smimea"]
_UNPROVEN = frozenset({"harvested", "ldap"})  # who brought it need not know whose it is
_PATHLESS = frozenset({"pinned", "smimea"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A certificate somebody might be written to with, and how it came to us.

    An administrator's word counts for more than a name in a certificate: what was imported
    or pinned for an address need not carry it, and what was pinned needs no path either.
    The same goes for what a domain announced for all its mailboxes, and for what DNSSEC
    proved to be a mailbox's own (RFC 8162, usage 3).
    """

    certificate: Certificate
    source: Source = "harvested"
    issuers: tuple[Certificate, ...] = ()  # intermediates that may lead to an anchor
    domain: bool = False  # filed under @domain: opens mail for everybody there

    @property
    def registered(self) -> bool:
        """Whether somebody with authority said whose it is."""
        return self.source not in _UNPROVEN

    @property
    def needs_path(self) -> bool:
        """Whether it counts only with a path to an anchor."""
        return self.source not in _PATHLESS


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that was not taken, and why."""

    certificate: Certificate
    reason: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The certificate taken, if any, and every one that was not."""

    chosen: Certificate | None
    rejected: tuple[Rejection, ...] = ()
    domain: bool = False  # the one taken speaks for the whole domain
    changes: tuple[str, ...] = field(default=(), kw_only=True)  # what somebody should look at
    known: Known | None = field(default=None, kw_only=True)  # to be remembered once it is used
    source: str = ""  # how the one taken came to us
    unasked: str = ""  # a source that could not be asked now, and why: later may be better
    remarks: tuple[str, ...] = ()  # what is not known of the one taken
    beside: tuple[Candidate, ...] = ()  # the mailbox's own that might be used with the one taken


def choose(
    candidates: Iterable[Candidate],
    mailbox: Mailbox,
    anchors: Anchors,
    moment: datetime,
) -> Choice:
    """Take the best usable candidate: a personal one first, then the longest valid, the newest."""
    usable: list[Candidate] = []
    rejected: list[Rejection] = []
    for position, candidate in enumerate(candidates):
        if position >= MAXIMUM_CANDIDATES:
            break
        reasons = objections(candidate, mailbox, anchors, moment)
        if reasons:
            why = "; ".join(reasons)
            rejected.append(Rejection(candidate.certificate, why, candidate.source))
        else:
            usable.append(candidate)
    if not usable:
        return Choice(None, tuple(rejected))
    best, *others = sorted(usable, key=_merit, reverse=True) if len(usable) > 1 else usable
    rejected += [Rejection(one.certificate, _second(one, best), one.source) for one in others]
    remarks = _remarks(best, anchors, moment)
    beside = () if best.domain else tuple(one for one in others if not one.domain)
    return Choice(
        best.certificate,
        tuple(rejected),
        best.domain,
        best.source,
        remarks=remarks,
        beside=beside[:MAXIMUM_BESIDE],
    )


def watched(
    choice: Choice,
    candidates: Iterable[Candidate],
    mailbox: Mailbox,
    anchors: Anchors,
    moment: datetime,
    *,
    known: Known | None,
) -> Choice:
    """The choice beside `known`, what the mailbox was last written to with.

    What an administrator registered is not doubted; a domain's certificate is nobody's key.
    """
    if choice.chosen is None or choice.domain:
        return choice
    others, doubted = [], True
    for one in islice(candidates, MAXIMUM_CANDIDATES):
        if one.certificate == choice.chosen:
            doubted = one.source not in _ADMINISTRATORS
        elif not one.domain and not objections(one, mailbox, anchors, moment):
            others.append(one.certificate)
    now = Known.of(choice.chosen, others if doubted else ())
    if now == known:
        return choice
    return replace(choice, changes=changes(now, known) if doubted else (), known=now)


def objections(
    candidate: Candidate, mailbox: Mailbox, anchors: Anchors, moment: datetime
) -> tuple[str, ...]:
    """Why this certificate may not be used to write to the mailbox; empty when it may."""
    certificate = candidate.certificate
    reasons = list(usable_for(certificate, "encrypt", moment))
    if not candidate.registered and not matches(certificate, mailbox):
        reasons.append(f"it is not issued to {mailbox}")
    if why := anchors.denial(certificate):
        reasons.append(why)
    if not reasons and candidate.needs_path:  # a path costs most, so it comes last
        reasons += validate(certificate, candidate.issuers, anchors, moment=moment).reasons
    return tuple(reasons)


def _remarks(best: Candidate, anchors: Anchors, moment: datetime) -> tuple[str, ...]:
    """What nobody could tell of its path, and did not have to."""
    if anchors.evidence is None or not best.needs_path:
        return ()
    found = validate(best.certificate, best.issuers, anchors, moment=moment).revocation
    return tuple(str(one) for one in found if one.status != "good")


def _merit(candidate: Candidate) -> tuple[bool, float, float, str]:
    certificate = candidate.certificate
    return (
        not candidate.domain,
        certificate.not_after.timestamp(),
        certificate.not_before.timestamp(),
        certificate.fingerprint,  # every node chooses alike
    )


def _second(candidate: Candidate, best: Candidate) -> str:
    if candidate.domain and not best.domain:
        return "usable, but a personal certificate comes before the domain's"
    until = best.certificate.not_after
    return f"usable, but the chosen one is better: it is valid until {until:%Y-%m-%d}"
