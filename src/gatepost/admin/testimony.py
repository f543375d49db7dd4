"""A record of evidence judged again, years later and offline, as of the time it was kept.

By nothing but the octets in the file: the mail, the path, the lists and answers of that time.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from gatepost.certificate import Certificate
from gatepost.errors import GatepostError
from gatepost.flow import company
from gatepost.mail.content import Octets
from gatepost.mime import headers
from gatepost.mime.entity import split_header
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Evidence
from gatepost.pki.ocsp import Answer
from gatepost.pki.validate import Anchors, validate
from gatepost.smime import layers
from gatepost.smime.verify import SIGNED, verify
from gatepost.store.chain import Link
from gatepost.store.exhibit import NotProven

_GRACE = timedelta(days=3650)  # what counted by grace then is shown with its date, not refused
_ODD = (
    *(GatepostError, KeyError, TypeError, ValueError, AttributeError, IndexError),
    *(RecursionError, OverflowError),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a record says, and what its octets say now."""

    number: int
    at: datetime
    queue_id: str = ""
    signers: tuple[str, ...] = ()
    removed: bool = False  # its time was over: only its place in the chain is left
    signature: str = ""  # the verdict on the mail again; or "enclosed", "not kept"
    path: str = ""  # "holds", or why not
    revocation: tuple[str, ...] = ()  # of the certificates of the path, leaf first
    agrees: bool = True  # with what was recorded

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "number": self.number,
            "at": self.at.isoformat(),
            "queue_id": self.queue_id,
            "signers": list(self.signers),
            "removed": self.removed,
            "signature": self.signature,
            "path": self.path,
            "revocation": list(self.revocation),
            "agrees": self.agrees,
        }


def told(link: Link) -> Judged:
    """What a record says of itself; raises NotProven."""
    if link.record is None:
        return Judged(link.number, link.when, removed=True)
    try:
        said = json.loads(link.record)
        signers = (str(one["signer"]) for each in said["signatures"] for one in each["signers"])
        return Judged(link.number, link.when, str(said["queue_id"]), tuple(dict.fromkeys(signers)))
    except _ODD as error:
        raise NotProven(f"record {link.number} has no form that is known here") from error


@dataclass(slots=True)
class Judge:
    """Judges the records of one file; lists are read once."""

    _read: dict[str, Crl | Answer | None] = field(default_factory=dict)
    _evidence: dict[tuple[frozenset[str], datetime | None], Evidence] = field(default_factory=dict)

    def judged(self, link: Link, proofs: Mapping[str, bytes]) -> Judged:
        """The record judged by its octets; raises NotProven for one that cannot be read."""
        made = told(link)
        if link.record is None:
            return made
        try:
            said: dict[str, Any] = json.loads(link.record)
            return self._judged(made, said, proofs)
        except _ODD as error:
            raise NotProven(f"record {link.number} has no form that is known here") from error

    def _judged(self, made: Judged, said: dict[str, Any], proofs: Mapping[str, bytes]) -> Judged:
        signer = said["signatures"][0]["signers"][0]
        chain = [Certificate.from_der(base64.b64decode(one)) for one in signer["certificates"]]
        recorded = {one["fingerprint"]: one for one in said.get("revocation", ())}
        named = frozenset(name for one in recorded.values() for name in one["proofs"])
        time = signer["signing_time"]
        signed = datetime.fromisoformat(time) if time else None
        anchors = Anchors(
            frozenset(chain[-1:]), frozenset(chain[1:-1]), self._known(named, proofs, signed)
        )
        report = validate(chain[0], (), anchors, moment=made.at)
        statuses = {one.certificate.fingerprint: one.status for one in report.revocation}
        agrees = report.trusted and all(
            statuses.get(name, "unknown") == one["status"] for name, one in recorded.items()
        )
        plain = replace(anchors, evidence=None, own=anchors.roots)
        signature = _again(said["mail"], plain, made.at, chain)
        if signature in {"enclosed", "not kept"} and said.get("inside") is not None:
            signature = _again(said["inside"], plain, made.at, chain)
        return replace(
            made,
            signature=signature,
            path="holds" if report.trusted else "; ".join(report.reasons),
            revocation=tuple(str(one) for one in report.revocation),
            agrees=agrees and signature in {"valid", "enclosed", "not kept"},
        )

    def _known(
        self, named: frozenset[str], proofs: Mapping[str, bytes], signed: datetime | None
    ) -> Evidence:
        key = (named, signed)
        if key not in self._evidence:
            found = (self._proof(name, proofs) for name in sorted(named))
            self._evidence[key] = Evidence.of(found, required=False, grace=_GRACE, signed=signed)
        return self._evidence[key]

    def _proof(self, name: str, proofs: Mapping[str, bytes]) -> Crl | Answer | None:
        if name not in self._read:
            self._read[name] = _parsed(proofs.get(name))
        return self._read[name]


def _parsed(der: bytes | None) -> Crl | Answer | None:
    for kind in (Crl, Answer):
        try:
            return kind.from_der(der) if der is not None else None
        except GatepostError:
            continue
    return None


def _again(mail: str | None, anchors: Anchors, moment: datetime, chain: list[Certificate]) -> str:
    """The verdict on the mail, where its signature is not inside encryption."""
    if mail is None:
        return "not kept"
    header, body = split_header(base64.b64decode(mail))
    layer = layers.outermost(header, body)
    if layer is None or layer.kind not in SIGNED or not layer.whole:
        return "enclosed"
    author = headers.author(header)
    found = verify(header, Octets(body), anchors, moment, author, known=chain, layer=layer)
    report = company.counted(found.report, author, (header, found.header), anchors)
    return report.verdict.value
