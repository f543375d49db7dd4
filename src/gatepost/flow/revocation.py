"""Weigh a signature by what is known of its signer's revocation (RFC 5280 section 6.3).

First without, since only a trusted path names whom to ask; then with the answer; then, where
that knows too little, with what the signer brought along.  A revocation after the claimed
signing time spares the signature only where its reason says nothing against the key.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from gatepost.certificate import Certificate
from gatepost.errors import GatepostError
from gatepost.flow.context import Context
from gatepost.flow.fact import RevocationOf
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence, Finding
from gatepost.pki.ocsp import Answer
from gatepost.pki.place import names_place
from gatepost.pki.validate import Anchors, PathReport, validate
from gatepost.smime.report import SignatureReport, SignerReport


@dataclass(frozen=True, slots=True)
class RevocationReport:
    """What was found out of each certificate of the signer's path, leaf first."""

    findings: tuple[Finding, ...]

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "layer": "revocation",
            "findings": [one.as_data() for one in self.findings],
            "reasons": [str(one) for one in self.findings if one.status != "good"],
        }

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know: nobody could tell though asked, or told something bad."""
        return tuple(
            str(one)
            for one in self.findings
            if one.status == "revoked" or (one.status == "unknown" and names_place(one.certificate))
        )


@dataclass(frozen=True, slots=True)
class Weighed:
    """Anchors with which to verify again, and what to note."""

    anchors: Anchors
    note: RevocationReport


def lacks(found: SignatureReport, context: Context) -> RevocationOf | None:
    """The question still to be asked about a signature, if any."""
    signer = _signer(found)
    if signer is None or not context.asks_revocation:
        return None
    fact = RevocationOf(signer.chain)
    return None if fact in context.facts else fact


def weighed(found: SignatureReport, anchors: Anchors, context: Context) -> Weighed | None:
    """The anchors with what is known; nothing where nobody was to be asked."""
    signer = _signer(found)
    if signer is None or signer.certificate is None:
        return None
    evidence = context.revocation_of(RevocationOf(signer.chain))
    if evidence is None:
        return None
    report = _judged(signer.certificate, found, anchors, evidence, context)
    brought = any(one.status == "unknown" for one in report.revocation) and _brought(found)
    if brought:
        evidence = replace(evidence, stapled=brought, memory={})
        report = _judged(signer.certificate, found, anchors, evidence, context)
    if not report.trusted and signer.signing_time is not None:
        evidence = _since(evidence, signer)
    return Weighed(replace(anchors, evidence=evidence), RevocationReport(report.revocation))


def _judged(
    certificate: Certificate,
    found: SignatureReport,
    anchors: Anchors,
    evidence: Evidence,
    context: Context,
) -> PathReport:
    anchors = replace(anchors, evidence=evidence)
    return validate(certificate, found.certificates, anchors, moment=context.now)


def _brought(found: SignatureReport) -> Evidence | None:
    """What stands beside the signature (RFC 5940); whether it is true, is asked as of any."""
    lists, answers = [], []
    for one in found.enclosed:
        with suppress(GatepostError):
            if one.kind == "crl":
                lists.append(Crl.from_der(one.der))
            else:
                answers.append(Answer.from_der(one.der))
    return Evidence(tuple(lists), tuple(answers)) if lists or answers else None


def _since(evidence: Evidence, signer: SignerReport) -> Evidence:
    return replace(evidence, signed=signer.signing_time, memory={})


def _signer(found: SignatureReport) -> SignerReport | None:
    signer = found.leading
    return signer if signer is not None and signer.trusted and len(signer.chain) > 1 else None
