"""Certification path validation for e-mail (RFC 5280 section 6, RFC 8550 section 4).

Paths are found by `build` and judged by `path`; here stand what is asked of the leaf itself,
the pinned leaf, and the memory of verdicts.  A certificate that does not pass gets reasons,
never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from cryptography import x509

from gatepost.certificate import Certificate
from gatepost.pki.build import Chain, Search, filed
from gatepost.pki.constraint import Budget
from gatepost.pki.evidence import Evidence, Finding
from gatepost.pki.explain import explain
from gatepost.pki.path import Purpose, objection
from gatepost.pki.policy import PolicyRules
from gatepost.pki.revocation import Inquiry
from gatepost.pki.strength import key_weakness, signature_weakness
from gatepost.pki.usable import date_objection, purpose_objection

MAXIMUM_INTERMEDIATES = 32  # what may come into a path; the rest of a hostile bag is not looked at
FEW = 8  # how many may be remembered together: a stranger's bag is not kept
HOUR = timedelta(hours=1)
_NO_RULES = PolicyRules()


@dataclass(frozen=True, slots=True)
class Anchors:
    """Trust anchors that count for one question, and intermediates we know of."""

    roots: frozenset[Certificate]
    intermediates: frozenset[Certificate] = frozenset()
    evidence: Evidence | None = None  # of revocation; without it nobody asks
    # those of the roots that are trusted because they are the domain's own
    own: frozenset[Certificate] = frozenset()
    # fingerprint to reason: certificates an administrator wants on no path
    denied: Mapping[str, str] = field(default_factory=dict, hash=False)

    def denial(self, certificate: Certificate) -> str:
        """Why an administrator does not want this one; empty when nobody said so."""
        reason = self.denied.get(certificate.fingerprint)
        return "" if reason is None else f"it is denied here: {reason}"

    def without_denied(self) -> Anchors:
        """The same, whoever else named a denied one as an anchor."""
        kept = [one for one in self.roots if one.fingerprint not in self.denied]
        return self if len(kept) == len(self.roots) else replace(self, roots=frozenset(kept))


@dataclass(frozen=True, slots=True)
class PathReport:
    """Whether a path to an anchor exists, which one, and if not, why not."""

    trusted: bool
    chain: tuple[Certificate, ...] = ()  # leaf first, anchor last
    reasons: tuple[str, ...] = ()
    revocation: tuple[Finding, ...] = ()  # leaf first; empty when nobody asked

    def __bool__(self) -> bool:
        raise TypeError("a report is not a boolean: read `trusted`")


class _Question(NamedTuple):
    """All a verdict depends on but the certificate and the time."""

    pool: frozenset[Certificate]
    roots: frozenset[Certificate]
    purpose: Purpose
    rules: PolicyRules


def validate(
    certificate: Certificate,
    extra: Sequence[Certificate],
    anchors: Anchors,
    *,
    moment: datetime,
    purpose: Purpose = "email",
    rules: PolicyRules = _NO_RULES,
    revocation: Evidence | None = None,
) -> PathReport:
    """Look for a path from the certificate to an anchor that holds at the moment.

    With purpose "any" no certificate's extended key usage is asked (RFC 5280 section 6.1),
    and the certificate may be an authority's.  Revocation is asked of the evidence given
    here, else of that which comes with the anchors; of a pinned certificate it is not.
    """
    if anchors.denied:
        if why := anchors.denial(certificate):
            return PathReport(trusted=False, reasons=(why,))
        extra = [one for one in extra if not anchors.denial(one)]
        anchors = anchors.without_denied()
    pool = _pool(certificate, extra, anchors.intermediates)
    asked = _Question(pool, anchors.roots, purpose, rules)
    hour = moment.replace(minute=0, second=0, microsecond=0)
    evidence = revocation or anchors.evidence
    turning = _turn(certificate, pool, hour, hour + HOUR)
    if evidence is None and not turning:
        return _remembered(certificate, asked, hour)
    moment = moment.replace(microsecond=0)  # dates are whole seconds (RFC 5280 section 4.1.2.5)
    if evidence is None or turning:
        return _judge(certificate, asked, moment, evidence)
    return _recalled(certificate, asked, moment, evidence)


@lru_cache(maxsize=8192)
def _remembered(certificate: Certificate, asked: _Question, hour: datetime) -> PathReport:
    """Nothing begins or ends within this hour, so one verdict holds for all of it."""
    return _judge(certificate, asked, hour, None)


def _recalled(
    certificate: Certificate, asked: _Question, moment: datetime, evidence: Evidence
) -> PathReport:
    """The same with evidence, which keeps its own verdicts: they go when it goes."""
    hour = moment.replace(minute=0, second=0, microsecond=0)
    key = (certificate, asked, hour, evidence.epoch(moment))
    known = evidence.memory.get(key)
    if not isinstance(known, PathReport):
        known = evidence.keep(key, _judge(certificate, asked, moment, evidence))
    return known


def _turn(leaf: Certificate, pool: Iterable[Certificate], start: datetime, end: datetime) -> bool:
    """Whether any of them begins or ends to be valid in this time."""
    return any(
        start <= one.not_before < end or start <= one.not_after < end for one in (leaf, *pool)
    )


def _judge(
    certificate: Certificate, asked: _Question, moment: datetime, evidence: Evidence | None
) -> PathReport:
    reasons = tuple(filter(None, _own_objections(certificate, asked, moment)))
    if reasons:
        return PathReport(trusted=False, reasons=reasons)
    if certificate in asked.roots:  # pinned: the anchor and the end entity are one
        return PathReport(trusted=True, chain=(certificate,))
    search = _search(asked, moment)
    if evidence is None:
        for chain in search.chains(certificate):
            return PathReport(trusted=True, chain=chain)
    else:
        report = _unrevoked(search.chains(certificate), asked, moment, evidence)
        if report is not None:
            return report
    why = explain(certificate, asked.pool, asked.roots, moment, search.verdict)
    return PathReport(trusted=False, reasons=(why,))


def _search(asked: _Question, moment: datetime) -> Search:
    budget = Budget()
    return Search(
        asked.pool,
        asked.roots,
        moment,
        lambda chain: objection(chain, asked.purpose, asked.rules, budget),
    )


def _unrevoked(
    chains: Iterator[Chain], asked: _Question, moment: datetime, evidence: Evidence
) -> PathReport | None:
    """The first path nobody on which is revoked, else what is wrong with the first."""
    refused: PathReport | None = None
    inquiry = _inquiry(asked, moment, evidence)
    if evidence.stapled is not None:
        inquiry.brought = _inquiry(asked, moment, evidence.stapled)
    for chain in chains:
        findings = inquiry.findings(chain)
        if inquiry.holds(findings):
            return PathReport(trusted=True, chain=chain, revocation=findings)
        bad = tuple(str(one) for one in findings if one.status != "good")
        refused = refused or PathReport(
            trusted=False, chain=chain, reasons=bad, revocation=findings
        )
    return refused


def _inquiry(asked: _Question, moment: datetime, evidence: Evidence) -> Inquiry:
    return Inquiry(
        evidence,
        moment,
        lambda one: _signer_paths(one, asked, moment, evidence),
        (*evidence.certificates, *asked.pool),
    )


def _signer_paths(
    signer: Certificate, asked: _Question, moment: datetime, evidence: Evidence
) -> Iterator[Chain]:
    """Paths of one who signs lists (RFC 5280 section 6.3.3 (f)): for any purpose and policy."""
    if date_objection(signer, moment) or key_weakness(signer) or signature_weakness(signer):
        return iter(())
    pool = _pool(signer, (*asked.pool, *evidence.certificates), frozenset())
    question = _Question(pool, asked.roots, "any", _NO_RULES)
    return _search(question, moment).chains(signer)


def _own_objections(
    certificate: Certificate, asked: _Question, moment: datetime
) -> tuple[str, ...]:
    pinned = certificate in asked.roots
    mail = asked.purpose == "email"
    return (
        date_objection(certificate, moment),
        key_weakness(certificate),
        purpose_objection(certificate) if mail else "",
        "" if pinned else signature_weakness(certificate),
        _constraint_objection(certificate),
        ""
        if pinned or _says_its_use(certificate)
        else "it is of version 1 and says nothing of its use",
    )


def _constraint_objection(certificate: Certificate) -> str:
    """RFC 5280 section 4.2.1.10: name constraints are for authorities only."""
    said = certificate.traits
    if certificate.is_authority or not (said.permitted or said.excluded):
        return ""
    return "it has name constraints and is no certification authority"


def _says_its_use(certificate: Certificate) -> bool:
    return certificate.x509.version is x509.Version.v3


def _pool(
    certificate: Certificate, extra: Sequence[Certificate], known: frozenset[Certificate]
) -> frozenset[Certificate]:
    """Those that could stand above this one; an authority's people all have the same few."""
    find = _relevant_few if len(extra) <= FEW else _relevant
    return find(certificate.folded_issuer, tuple(extra), known)


def _relevant(
    issuer: bytes, extra: tuple[Certificate, ...], known: frozenset[Certificate]
) -> frozenset[Certificate]:
    """Those that lead upward from this name by their names; what we know goes first."""
    by_subject: dict[bytes, list[Certificate]] = {}
    for one in extra:
        by_subject.setdefault(one.folded_subject, []).append(one)
    filed_known = filed(known)
    found: dict[Certificate, None] = {}
    wanted = {issuer: None}
    for name in (queue := [issuer]):
        for one in (*filed_known.get(name, ()), *by_subject.get(name, ())):
            if len(found) >= MAXIMUM_INTERMEDIATES:
                return frozenset(found)
            found[one] = None
            above = one.folded_issuer
            if above not in wanted:
                wanted[above] = None
                queue.append(above)
    return frozenset(found)


_relevant_few = lru_cache(maxsize=128)(_relevant)
