"""A signed layer as it came out of encryption, for whoever keeps evidence: only we can open it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gatepost.flow.context import Context
from gatepost.mail.content import Content
from gatepost.mail.message import Message
from gatepost.smime.report import EncryptionReport, SignatureReport, Verdict


@dataclass(frozen=True, slots=True)
class Original:
    """What was signed, with its signature."""

    header: bytes = field(repr=False)
    body: Content = field(repr=False)


def opened(message: Message, found: SignatureReport, context: Context) -> tuple[Original, ...]:
    """The message as it was verified, where evidence is kept and encryption lay around it."""
    if found.verdict is not Verdict.VALID or not context.policy.inbound.keep_evidence:
        return ()
    if not any(isinstance(one, EncryptionReport) for one in message.findings):
        return ()
    return (Original(message.header, message.body),)
