"""What is kept of mail whose signature was valid: the mail as it came, the chain, the verdict.

Plain JSON, so that it can be read in ten years without this program; it is sealed at rest.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

from gatepost.certificate import Certificate
from gatepost.flow.verdict import Outcome
from gatepost.mail.content import Content, join
from gatepost.smime.report import SignatureReport, Verdict

MAXIMUM_MAIL = 32 * 1024 * 1024  # larger mail is kept without its content, by digest only


def record(queue_id: str, content: Content, outcomes: Sequence[Outcome]) -> bytes | None:
    """The record of a message; None when nobody's signature on it was valid."""
    found = [
        one
        for outcome in outcomes
        for one in outcome.message.findings
        if isinstance(one, SignatureReport) and one.verdict is Verdict.VALID
    ]
    if not found:
        return None
    said = list(dict.fromkeys(found))
    data = {
        "queue_id": queue_id,
        "recipients": [str(who) for one in outcomes for who in one.message.envelope.recipients],
        "signatures": [_signature(one) for one in said],
        "size": content.size,
        "mail": _base64(join(content)) if content.size <= MAXIMUM_MAIL else None,
    }
    return json.dumps(data, separators=(",", ":")).encode()


def _signature(found: SignatureReport) -> dict[str, object]:
    return {
        "kind": found.kind,
        "verdict": found.verdict.value,
        "signers": [
            {**one.as_data(), "certificates": _certificates((one.certificate, *one.chain))}
            for one in found.signers
        ],
    }


def _certificates(chain: Sequence[Certificate | None]) -> list[str]:
    return [_base64(one.der) for one in chain if one is not None]


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()
