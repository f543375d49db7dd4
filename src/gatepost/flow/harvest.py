"""Learn correspondents' certificates from their signed mail (RFC 8550 section 2.3, RFC 8551 2.5).

Only from signatures that are valid, trusted and the author's own: whoever can plant a
certificate reads what is sent to its address from then on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gatepost.certificate import Certificate
from gatepost.flow.classify import sole_author
from gatepost.flow.context import Context
from gatepost.flow.fact import Fact
from gatepost.flow.verdict import Continue, Verdict
from gatepost.mail.address import Mailbox
from gatepost.mail.message import Message
from gatepost.pki import identity, usable
from gatepost.smime import report
from gatepost.smime.report import SignatureReport, SignerReport

MAXIMUM_LEARNED = 8  # certificates from one message


@dataclass(frozen=True, slots=True)
class Learned:
    """Certificates an author can be written to with, and what his software reads."""

    mailbox: Mailbox
    certificates: tuple[Certificate, ...]  # best first
    issuers: tuple[Certificate, ...]  # from the signer's to the one below the anchor
    capabilities: frozenset[str]


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing: verification has proven what is needed."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Note what was learned; the engine stores it when the message is accepted."""
    author = sole_author(message.header)
    if author is None or author.domain_key in context.domains:
        return message, Continue()
    for found in message.findings:
        if isinstance(found, SignatureReport) and found.verdict is report.Verdict.VALID:
            lesson = _lesson(found, author, context)
            return (message.noting(lesson) if lesson else message), Continue()
    return message, Continue()


def learned(findings: Iterable[object]) -> tuple[Learned, ...]:
    """What was learned, among a message's findings."""
    return tuple(one for one in findings if isinstance(one, Learned))


def _lesson(found: SignatureReport, author: Mailbox, context: Context) -> Learned | None:
    signer = found.leading
    if signer is None:
        return None
    certificates = tuple(
        one
        for one in _candidates(found, signer)
        if identity.matches(one, author) and not usable.usable_for(one, "encrypt", context.now)
    )[:MAXIMUM_LEARNED]
    if not certificates:
        return None
    return Learned(author, certificates, signer.chain, signer.capabilities)


def _candidates(found: SignatureReport, signer: SignerReport) -> Iterable[Certificate]:
    """The certificate the signer prefers, the signing one, then whatever else came along."""
    first = (signer.encryption_certificate, signer.certificate)
    return dict.fromkeys((*(one for one in first if one is not None), *found.certificates))
