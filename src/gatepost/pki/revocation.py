"""Whether the certificates of a path are revoked (RFC 5280 section 6.3, RFC 6960).

Lists and answers are given; nothing is fetched.  Each certificate gets a finding with its
reason: good, revoked or unknown.  What unknown means for trust, the evidence says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from cryptography import x509

from gatepost.certificate import Certificate
from gatepost.pki.crl import EVERY_REASON, Crl, Entry
from gatepost.pki.evidence import SKEW, Evidence, Finding
from gatepost.pki.ocsp import Answer
from gatepost.pki.point import Point, out_of_scope

MAXIMUM_LISTS = 64  # looked at for one certificate
MAXIMUM_POINTS = 16  # of one certificate
MAXIMUM_SIGNATURES = 64  # checked for one path
MAXIMUM_NESTING = 3  # whoever signs a list for others has a path, too

Chain = tuple[Certificate, ...]


@dataclass(slots=True)
class Inquiry:
    """Ask for the certificates of one path; `paths` finds those of whoever signed a list."""

    evidence: Evidence
    moment: datetime
    paths: Callable[[Certificate], Iterator[Chain]]
    signers: Sequence[Certificate] = ()  # who may have signed a list, beside those of the path
    brought: Inquiry | None = None  # the same of what came with the signature
    spent: int = 0
    _trusted: dict[tuple[Crl, Chain], bool] = field(default_factory=dict)
    _asking: list[Certificate] = field(default_factory=list)

    def findings(self, chain: Chain) -> tuple[Finding, ...]:
        """From the anchor down, since a revoked authority's word counts for nothing below.

        The anchor itself is trusted for other reasons than a list of its own.
        """
        found: list[Finding] = []
        for position in range(len(chain) - 2, -1, -1):
            found.append(self._weighed(chain[position], chain[position + 1 :]))
            if found[-1].status == "revoked" and not self.evidence.forgives(found[-1]):
                break
        return tuple(reversed(found))

    def holds(self, findings: Iterable[Finding]) -> bool:
        """Whether the path may be trusted as far as revocation goes."""
        return not any(
            one.status == "revoked"
            or (one.status == "unknown" and self.evidence.demands(one.certificate))
            for one in findings
            if not self.evidence.forgives(one)
        )

    def _weighed(self, certificate: Certificate, above: Chain) -> Finding:
        """What the signer brought counts only where nobody else has said anything.

        He chose it: an answer older than the theft of his key may count still.
        """
        found = self.finding(certificate, above)
        if self.brought is None or found.status != "unknown":
            return found
        brought = self.brought.finding(certificate, above)
        if brought.status == "good" and self.evidence.tells_against(certificate):
            return found
        return found if brought.status == "unknown" else replace(brought, stapled=True)

    def finding(self, certificate: Certificate, above: Chain) -> Finding:
        """What is known of one certificate, without what the signer brought."""
        if certificate in self._asking or len(self._asking) > MAXIMUM_NESTING:
            return Finding(certificate, "unknown", "the proof would depend on itself")
        self._asking.append(certificate)
        try:
            answered = self._by_answer(certificate, above)
            if answered is not None and answered.status != "unknown":
                return answered
            listed = self._by_list(certificate, above)
            return answered if answered and not listed.source else listed
        finally:
            self._asking.pop()

    # OCSP

    def _by_answer(self, certificate: Certificate, above: Chain) -> Finding | None:
        found: Finding | None = None
        for answer in self.evidence.by_serial.get(certificate.serial, ())[:MAXIMUM_LISTS]:
            single = answer.about(certificate, above[0])
            if single is None:
                continue
            why = self.evidence.current(single.this_update, single.next_update, self.moment)
            why = why or (
                "" if self._is_authorised(answer, above) else "its signer is not authorised"
            )
            if why:
                found = Finding(certificate, "unknown", f"an OCSP answer does not count: {why}")
            elif single.status != "unknown":
                return Finding(
                    certificate,
                    single.status,
                    single.reason if single.status == "revoked" else "",
                    "ocsp",
                    single.when,
                    single.this_update,
                    (answer,),
                )
            else:
                found = Finding(
                    certificate,
                    "unknown",
                    "its OCSP responder does not know it",
                    "ocsp",
                    proofs=(answer,),
                )
        return found

    def _is_authorised(self, answer: Answer, above: Chain) -> bool:
        """RFC 6960 section 4.2.2.2: the issuer, or whom it certified for this."""
        issuer = above[0]
        for signer in answer.signers(issuer, self.moment):
            if not self._checked(answer, signer):
                continue
            if signer == issuer or answer.is_exempt(signer):
                return True
            return self.finding(signer, above).status != "revoked"
        return False

    # CRL

    def _by_list(self, certificate: Certificate, above: Chain) -> Finding:
        covered: frozenset[x509.ReasonFlags] = frozenset()
        why = "there is no list of its issuer"
        told: datetime | None = None
        proofs: list[Crl | Answer] = []
        points = certificate.traits.points
        for point in (
            *(Point.of(one, certificate) for one in islice(points, MAXIMUM_POINTS)),
            Point.usual(certificate.folded_issuer),
        ):
            for crl in self._lists(point):
                reasons = crl.reasons & point.reasons
                fault = crl.fault or out_of_scope(crl, point, certificate)
                if not fault and reasons <= covered:
                    continue
                if fault or not self._is_trusted(crl, above):
                    why = f"a list does not count: {fault or 'nobody trusted signed it'}"
                    continue
                deltas = self._deltas(crl, above)
                if fault := self._age(crl, deltas):
                    why = f"a list does not count: {fault}"
                    continue
                latest = deltas[0].this_update if deltas else crl.this_update
                entry = listed(crl, deltas, certificate)
                if entry is not None:
                    used = (crl, *deltas)
                    return Finding(
                        certificate, "revoked", entry.reason, "crl", entry.when, latest, used
                    )
                covered |= reasons
                told = told or latest
                proofs += (crl, *deltas)
        if covered >= EVERY_REASON:
            return Finding(
                certificate, "good", source="crl", this_update=told, proofs=tuple(proofs)
            )
        return Finding(certificate, "unknown", "not every reason is covered" if covered else why)

    def _lists(self, point: Point) -> Iterator[Crl]:
        found = (one for name in point.issuers for one in self.evidence.by_issuer.get(name, ()))
        for _, crl in zip(range(MAXIMUM_LISTS), found, strict=False):
            if crl.base is None:
                yield crl

    def _age(self, crl: Crl, deltas: Sequence[Crl]) -> str:
        """RFC 5280 section 6.3.3 (a): a current delta makes a list current that has ended."""
        if deltas and crl.this_update <= self.moment + SKEW:
            return ""
        return self.evidence.current(crl.this_update, crl.next_update, self.moment)

    def _deltas(self, crl: Crl, above: Chain) -> tuple[Crl, ...]:
        """The current ones to a list, newest first."""
        return tuple(
            one
            for one in self.evidence.by_issuer.get(crl.issuer, ())[:MAXIMUM_LISTS]
            if self._updates(one, crl) and self._is_trusted(one, above)
        )

    def _updates(self, delta: Crl, crl: Crl) -> bool:
        """RFC 5280 sections 5.2.4 and 6.3.3 (c)."""
        return (
            delta.base is not None
            and crl.number is not None
            and delta.number is not None
            and delta.base <= crl.number < delta.number
            and delta.scope == crl.scope
            and delta.key_id == crl.key_id
            and crl.this_update <= delta.this_update
            and not delta.fault
            and not self.evidence.current(delta.this_update, delta.next_update, self.moment)
        )

    def _is_trusted(self, crl: Crl, above: Chain) -> bool:
        """Asked once for each list, however many points lead to it."""
        known = self._trusted.get((crl, above))
        if known is None:
            known = self._trusted[crl, above] = self._has_signer(crl, above)
        return known

    def _has_signer(self, crl: Crl, above: Chain) -> bool:
        """RFC 5280 section 6.3.3 (f): its signer's path ends at the same anchor."""
        for one in above:
            if one.folded_subject == crl.issuer and self._checked(crl, one):
                return True
        for one in self.signers:
            if one.folded_subject != crl.issuer or one in above or not self._checked(crl, one):
                continue
            if any(
                chain[-1] == above[-1] and self.holds(self.findings(chain))
                for chain in self.paths(one)
            ):
                return True
        return False

    def _checked(self, statement: Crl | Answer, signer: Certificate) -> bool:
        """A signature holds for ever, so it is checked once."""
        known = self.evidence.memory.get((statement, signer))
        if known is None:
            self.spent += 1
            if self.spent > MAXIMUM_SIGNATURES:
                return False
            known = self.evidence.keep((statement, signer), statement.is_signed_by(signer))
        return bool(known)


def listed(crl: Crl, deltas: Iterable[Crl], certificate: Certificate) -> Entry | None:
    """RFC 5280 section 6.3.3 (i) to (k): the newest delta's word goes first."""
    issuer = certificate.folded_issuer
    for delta in deltas:
        entry = delta.entry(issuer, certificate.serial)
        if entry is not None:
            return None if entry.reason == "removeFromCRL" else entry
    return crl.entry(issuer, certificate.serial)
