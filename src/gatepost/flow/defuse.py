"""Keep HTML from sending away what was decrypted without proof that it is unchanged (EFAIL).

Where policy says so, and only where nobody has signed the text: what an intact signature
covers is proven, and stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gatepost.flow.context import Context
from gatepost.flow.fact import Fact
from gatepost.flow.verdict import Continue, Verdict
from gatepost.mail.content import Content, Octets, Rope, is_large, join
from gatepost.mail.message import Message
from gatepost.mime import active, entity, headers
from gatepost.policy.receive import receive
from gatepost.policy.rules import ActiveContent
from gatepost.smime import payload
from gatepost.smime.report import EncryptionReport, SignatureReport


@dataclass(frozen=True, slots=True)
class DefusedReport:
    """Parts that were turned into attachments of plain text."""

    parts: int

    @property
    def reason(self) -> str:
        """In words."""
        return f"active HTML of unproven text made plain attachments, {self.parts} in number"

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {"layer": "active-content", "parts": self.parts, "reasons": [self.reason]}


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing: the findings tell."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Relabel what could act."""
    if not _is_unproven(message):
        return message, Continue()
    welcome = receive(context.policy.inbound, headers.authors(message.header))
    if welcome.active_content is ActiveContent.KEEP:
        return message, Continue()
    outside, inside = payload.divided(message.header)
    whole, parts = _defused(Rope((Octets(inside + b"\r\n"), message.body)))
    if not parts:
        return message, Continue()
    fields, body = entity.split(whole)
    made = replace(message, header=payload.wrapped(outside, fields), body=body)
    return made.noting(DefusedReport(parts)), Continue()


def _defused(whole: Content) -> tuple[Content, int]:
    if is_large(whole):
        return active.defused_as_read(whole)
    octets, parts = active.defused(join(whole))
    return Octets(octets), parts


def _is_unproven(message: Message) -> bool:
    """Whether the text came out of an encryption that proves nothing, and no signature does."""
    for one in reversed(message.findings):
        if isinstance(one, SignatureReport) and one.intact:
            return False
        if isinstance(one, EncryptionReport):
            return not one.authenticated
    return False
