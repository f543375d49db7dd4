"""What is kept of mail whose signature was valid: the mail as it came, the chain, the verdict.

And by which lists and answers revocation was told.  Plain JSON, so that it can be read in ten
years without this program; it is sealed at rest.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gatepost.certificate import Certificate
from gatepost.flow.original import Original
from gatepost.flow.revocation import RevocationReport
from gatepost.flow.verdict import Outcome
from gatepost.mail.content import Content, join
from gatepost.pki.crl import Crl
from gatepost.pki.evidence import Finding
from gatepost.pki.ocsp import Answer
from gatepost.smime.report import SignatureReport, Verdict

MAXIMUM_MAIL = 32 * 1024 * 1024  # larger mail is kept without its content, by digest only
MAXIMUM_TEXT = 56 * 1024 * 1024  # of base64: `store.evidence` takes no record over 64 MiB


@dataclass(frozen=True, slots=True)
class Testimony:
    """A record and the lists and answers that it names."""

    record: bytes = field(repr=False)
    proofs: tuple[Crl | Answer, ...] = ()


def testimony(queue_id: str, content: Content, outcomes: Sequence[Outcome]) -> Testimony | None:
    """What to keep of a message; None when nobody's signature on it was valid."""
    findings = [one for each in outcomes for one in each.message.findings]
    valid = (one for one in findings if isinstance(one, SignatureReport))
    said = list(dict.fromkeys(one for one in valid if one.verdict is Verdict.VALID))
    if not said:
        return None
    told = dict.fromkeys(
        one for each in findings if isinstance(each, RevocationReport) for one in each.findings
    )
    inside = _inside(findings)
    data = {
        "queue_id": queue_id,
        "recipients": [str(who) for one in outcomes for who in one.message.envelope.recipients],
        "signatures": [_signature(one) for one in said],
        "revocation": [one.as_data() for one in told],
        "size": content.size,
        "mail": _mail(content, MAXIMUM_TEXT - len(inside or "")),
        "inside": inside,
    }
    return Testimony(json.dumps(data, separators=(",", ":")).encode(), _proofs(told))


def _mail(content: Content, room: int) -> str | None:
    """The mail as it came, if that is not too much; what was opened proves more."""
    fits = content.size <= MAXIMUM_MAIL and content.size * 4 // 3 + 4 <= room
    return _base64(join(content)) if fits else None


def _inside(findings: Sequence[object]) -> str | None:
    """The signed layer, where encryption lies around it that only our keys open."""
    for one in findings:
        if isinstance(one, Original) and one.body.size <= MAXIMUM_MAIL:
            return _base64(one.header + b"\r\n" + join(one.body))
    return None


def _proofs(told: Iterable[Finding]) -> tuple[Crl | Answer, ...]:
    found = {one.digest: one for finding in told for one in finding.proofs}
    return tuple(found.values())


def _signature(found: SignatureReport) -> dict[str, object]:
    return {
        "kind": found.kind,
        "verdict": found.verdict.value,
        "signers": [
            {**one.as_data(), "certificates": _certificates(one.chain or (one.certificate,))}
            for one in found.signers
        ],
    }


def _certificates(chain: Sequence[Certificate | None]) -> list[str]:
    return [_base64(one.der) for one in chain if one is not None]


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
