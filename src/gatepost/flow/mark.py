"""Show what was found: Authentication-Results, subject tags, delivery or hold (RFC 7281, 8601).

Arriving mail is never refused for its cryptography: the reply would tell an attacker
what our keys make of his octets, and a person may still want the mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gatepost.flow import cleanse, subject
from gatepost.flow.addressee import AddresseeReport, Reach
from gatepost.flow.challenge import ChallengeReport
from gatepost.flow.context import Context
from gatepost.flow.decision import Decision, Done
from gatepost.flow.defuse import DefusedReport
from gatepost.flow.fact import Fact
from gatepost.flow.peel import SealedReport
from gatepost.flow.revocation import RevocationReport
from gatepost.flow.verdict import Continue, Hold, Verdict
from gatepost.mail import trace
from gatepost.mail.message import Message
from gatepost.mail.trace import Result
from gatepost.mime import headers
from gatepost.policy.receive import Welcome, receive
from gatepost.policy.rules import Expect, Fault, InboundPolicy
from gatepost.smime import report
from gatepost.smime.report import EncryptionReport, LayerReport, SignatureReport

Seen = report.Verdict

# RFC 7281 section 3.1.  "policy": good mathematics that we do not accept as the author's.
RESULTS = {
    Seen.VALID: "pass",
    Seen.VALID_UNTRUSTED: "policy",
    Seen.MISMATCH: "policy",
    Seen.INVALID: "fail",
    Seen.UNSUPPORTED: "neutral",
    Seen.UNSIGNED: "none",
}
BROKEN = frozenset({Seen.INVALID, Seen.MISMATCH})
# The worst signature speaks for the message.
ORDER = (
    Seen.INVALID,
    Seen.MISMATCH,
    Seen.UNSUPPORTED,
    Seen.VALID_UNTRUSTED,
    Seen.VALID,
)


REPORTS = (
    SealedReport
    | LayerReport
    | RevocationReport
    | AddresseeReport
    | DefusedReport
    | ChallengeReport
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What earlier stages found of a message."""

    sealed: tuple[SealedReport, ...]
    encryptions: tuple[EncryptionReport, ...]
    signatures: tuple[SignatureReport, ...]
    addressees: AddresseeReport | None
    defused: DefusedReport | None
    revocation: tuple[str, ...]  # what is known of signers beside "good"

    @property
    def is_misdirected(self) -> bool:
        """Whether the signature was made for others, and nothing says why it came here."""
        return self.addressees is not None and self.addressees.reach is Reach.OTHERS

    @property
    def worst(self) -> Seen | None:
        """The worst verdict on a signature; None: nobody signed."""
        verdicts = {one.verdict for one in self.signatures}
        return next((one for one in ORDER if one in verdicts), None)


def asks(_message: Message, _context: Context) -> frozenset[Fact]:
    """Nothing: the findings tell."""
    return frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Mark the header; hold what policy wants held."""
    seen = _seen(message.findings)
    header = cleanse.cleaned(message.header, context)
    policy = context.policy.inbound
    welcome = receive(policy, headers.authors(header))
    unmet = _unmet(seen, welcome)
    if policy.tag_subject and (tag := _tag(seen, policy, unmet)):
        header = subject.prefixed(header, tag)
    field = trace.authentication_results(context.hostname, _results(seen, unmet))
    fault, reason = _fault(seen, welcome, unmet)
    decided = _decisions(message, reason or unmet, held=bool(reason))
    marked = replace(message, header=field + header).noting(*decided)
    return marked, Hold(reason, fault is Fault.QUARANTINE) if reason else Continue()


def _seen(findings: Sequence[object]) -> _Seen:
    return _Seen(
        tuple(one for one in findings if isinstance(one, SealedReport)),
        tuple(one for one in findings if isinstance(one, EncryptionReport)),
        tuple(one for one in findings if isinstance(one, SignatureReport)),
        next((one for one in findings if isinstance(one, AddresseeReport)), None),
        next((one for one in findings if isinstance(one, DefusedReport)), None),
        tuple(
            said for one in findings if isinstance(one, RevocationReport) for said in one.remarks
        ),
    )


def _unmet(seen: _Seen, welcome: Welcome) -> str:
    """What the sender agreed to do and did not; empty: nothing."""
    lacks = []
    if welcome.expect in (Expect.SIGNED, Expect.BOTH) and seen.worst is not Seen.VALID:
        lacks.append("not validly signed by its author")
    if welcome.expect in (Expect.ENCRYPTED, Expect.BOTH) and not (seen.encryptions or seen.sealed):
        lacks.append("not encrypted")
    if not lacks:
        return ""
    return f"{' and '.join(lacks)}, though {welcome.agreed} expects {welcome.expect} mail"


def _tag(seen: _Seen, policy: InboundPolicy, unmet: str) -> str:
    tags, chosen = policy.tags, []
    if seen.sealed:
        chosen.append(tags.undecryptable)
    elif seen.encryptions:
        chosen.append(tags.encrypted)
    if seen.worst in BROKEN:
        chosen.append(tags.invalid)
    elif seen.is_misdirected:
        chosen.append(tags.misdirected)
    elif seen.worst is Seen.VALID:
        chosen.append(tags.signed)
    elif seen.worst is not None:
        chosen.append(tags.untrusted)
    if unmet:
        chosen.append(tags.unmet)
    return " ".join(tag for tag in chosen if tag)


def _results(seen: _Seen, unmet: str) -> list[Result]:
    opened = ", ".join(_encryption(one) for one in seen.encryptions)
    sealed = ", ".join(f"{one.kind} not opened: {one.reason}" for one in seen.sealed)
    aimed = seen.addressees.reason if seen.addressees else ""
    changed = seen.defused.reason if seen.defused else ""
    remark = "; ".join(filter(None, (opened, sealed, aimed, changed, unmet)))
    if not seen.signatures:
        return [Result("smime", "none", remark)]
    told = {said for one in seen.signatures for said in one.all_reasons}
    remark = "; ".join(filter(None, (*(one for one in seen.revocation if one not in told), remark)))
    return [_result(one, remark) for one in seen.signatures]


def _encryption(one: EncryptionReport) -> str:
    fields = one.headers.reasons if one.headers is not None else ()
    return ", ".join((f"decrypted {one.cipher}", *one.suspicions, *fields))


def _result(one: SignatureReport, remark: str) -> Result:
    reasons = "; ".join(filter(None, (*one.all_reasons, one.forensics, remark)))
    signer = one.leading
    properties: list[tuple[str, str]] = []
    if signer is not None and signer.certificate is not None:
        properties += [("body.smime-identifier", email) for email in signer.emails[:1]]
        properties.append(("body.smime-serial", f"{signer.certificate.serial:X}"))
    return Result("smime", RESULTS[one.verdict], reasons, tuple(properties))


def _fault(seen: _Seen, welcome: Welcome, unmet: str) -> tuple[Fault, str]:
    """What is done about the worst of what is wrong, and why; nothing without a reason."""
    found = [
        (welcome.undecryptable, f"{one.kind} cannot be opened: {one.reason}")
        for one in seen.sealed[:1]
    ]
    if seen.worst in BROKEN:
        broken = next(one for one in seen.signatures if one.verdict in BROKEN)
        reasons = filter(None, (*broken.all_reasons, broken.forensics))
        found.append((welcome.broken_signature, "the signature is broken: " + "; ".join(reasons)))
    if seen.is_misdirected and seen.addressees:
        found.append((welcome.misdirected, seen.addressees.reason))
    if unmet:
        found.append((welcome.unmet, unmet))
    kept = [one for one in found if one[0] is not Fault.DELIVER]
    quarantined = [one for one in kept if one[0] is Fault.QUARANTINE]
    return next(iter((*quarantined, *kept)), (Fault.DELIVER, ""))


def _decisions(message: Message, reason: str, *, held: bool) -> list[Decision]:
    layers = tuple(one.as_data() for one in message.findings if isinstance(one, REPORTS))
    author = headers.author(message.header)
    return [
        Decision(
            recipient=str(one),
            author=str(author or ""),
            done=Done.HELD if held else Done.DELIVERED,
            reason=reason,
            layers=layers,
        )
        for one in message.envelope.recipients
    ]
