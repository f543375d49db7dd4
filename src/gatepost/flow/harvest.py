"""Learn correspondents' certificates from their signed mail (RFC 8550 section 2.3, RFC 8551 2.5).

Only from signatures that are valid, trusted and the author's own: whoever can plant a
certificate reads what is sent to its address from then on.  What comes along is not
signed, so anybody can add to it on the way: each certificate needs a path of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, takewhile

from gatepost.certificate import Certificate
from gatepost.flow.classify import sole_author
from gatepost.flow.context import Context
from gatepost.flow.fact import AnchorsFor, Fact
from gatepost.flow.verdict import Continue, Verdict
from gatepost.mail.address import Mailbox
from gatepost.mail.message import Message
from gatepost.pki import identity, usable
from gatepost.pki.validate import validate
from gatepost.smime import report
from gatepost.smime.correspondent import CLEAR, HEADER_PROTECTION, NAMES, OPAQUE, Lesson
from gatepost.smime.report import EncryptionReport, SignatureReport, SignerReport

MAXIMUM_LEARNED = 8  # certificates from one message
MAXIMUM_WEIGHED = 16  # a path costs a signature or two


@dataclass(frozen=True, slots=True)
class Learned:
    """Certificates an author can be written to with, and what his software does."""

    mailbox: Mailbox
    certificates: tuple[Certificate, ...]  # best first; none where he cannot be written to
    issuers: tuple[Certificate, ...]  # from the signer's to the one below the anchor
    lesson: Lesson


def asks(message: Message, context: Context) -> frozenset[Fact]:
    """Whom the author's company trusts, where there is something to learn."""
    author, found = _proven(message, context)
    if author is None or found is None:
        return frozenset()
    return frozenset({AnchorsFor(author.domain_key)})


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Note what was learned; the engine stores it when the message is accepted."""
    author, found = _proven(message, context)
    if author is None or found is None:
        return message, Continue()
    learned_ = _learned(found, author, message, context)
    return (message.noting(learned_) if learned_ else message), Continue()


def learned(findings: Iterable[object]) -> tuple[Learned, ...]:
    """What was learned, among a message's findings."""
    return tuple(one for one in findings if isinstance(one, Learned))


def _proven(message: Message, context: Context) -> tuple[Mailbox | None, SignatureReport | None]:
    """A stranger who is the only author, and the signature that proves it."""
    author = sole_author(message.header)
    if author is None or author.domain_key in context.domains:
        return None, None
    for found in message.findings:
        if isinstance(found, SignatureReport) and found.verdict is report.Verdict.VALID:
            return author, found
    return author, None


def _learned(
    found: SignatureReport, author: Mailbox, message: Message, context: Context
) -> Learned | None:
    signer = found.leading
    if signer is None:
        return None
    fitting = (
        one
        for one in _candidates(found, signer)
        if identity.matches(one, author) and not usable.usable_for(one, "encrypt", context.now)
    )
    anchors = context.anchors_for(AnchorsFor(author.domain_key))
    known = (*found.certificates, *signer.chain)  # some of which may not have come along
    certificates = tuple(
        one
        for one in islice(fitting, MAXIMUM_WEIGHED)
        if validate(one, known, anchors, moment=context.now).trusted
    )[:MAXIMUM_LEARNED]
    used = _habits(found, signer, message)
    lesson = Lesson(author, signer.signing_time, signer.capabilities, used)
    return Learned(author, certificates, signer.chain, lesson)


def _habits(found: SignatureReport, signer: SignerReport, message: Message) -> frozenset[str]:
    """How he writes, which shows what he reads."""
    habits = {CLEAR if found.kind == "multipart-signed" else OPAQUE, signer.scheme}
    if found.headers is not None and found.headers.scheme.startswith("hp="):
        habits.add(HEADER_PROTECTION)
    around = takewhile(lambda one: one is not found, message.findings)
    for one in around:
        if isinstance(one, EncryptionReport):
            habits |= {one.cipher, one.management}
    return frozenset(habits & NAMES)


def _candidates(found: SignatureReport, signer: SignerReport) -> Iterable[Certificate]:
    """The certificate the signer prefers, the signing one, then whatever else came along."""
    first = (signer.encryption_certificate, signer.certificate)
    return dict.fromkeys((*(one for one in first if one is not None), *found.certificates))
