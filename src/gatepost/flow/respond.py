"""Answer the challenge mails of certification authorities by ourselves (RFC 8823 section 3).

A challenge for which no order of ours is pending, or that is not as it must be, is ordinary
mail.  One that is answered was meant for the gateway and goes no further, unless set so.
"""

from __future__ import annotations

from typing import Final

from gatepost.flow import challenge
from gatepost.flow.challenge import MAXIMUM_ANSWERS, Answered, Challenge, ChallengeReport
from gatepost.flow.context import Context
from gatepost.flow.decision import Decision, Done
from gatepost.flow.fact import ChallengeFor, Fact
from gatepost.flow.verdict import Continue, Defer, Discard, Split, Verdict
from gatepost.mail.address import Mailbox
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply

_WRITTEN: Final = "something was written into its Subject, before ACME: or behind the token"
UNSETTLED: Final = Reply(451, "4.3.0", "The order of this certificate is being placed, try again")


def asks(message: Message, context: Context) -> frozenset[Fact]:
    """Whether an order is pending for whom a challenge is addressed to."""
    header = message.header
    if challenge.token(header) is None and not challenge.is_hidden(header):
        return frozenset()
    mailbox = _addressed(message, context)
    return frozenset({ChallengeFor(mailbox)}) if mailbox else frozenset()


def does(message: Message, context: Context) -> tuple[Message, Verdict]:
    """Note the response; the engine sends it when the message is accepted."""
    part = challenge.token(message.header)
    is_like_one = part is not None or challenge.is_hidden(message.header)
    mailbox = _addressed(message, context) if is_like_one else None
    if mailbox is None:
        return message, Continue()
    expected = context.challenge_for(ChallengeFor(mailbox))
    if part is None:
        return _hidden(message, expected.challenge), Continue()
    if expected.unsettled:
        return message, Defer(UNSETTLED, f"an order for {mailbox} is being placed")
    if expected.challenge is None:
        return message, Continue()
    return _judged(message, part, expected.challenge, context)


def _addressed(message: Message, context: Context) -> Mailbox | None:
    """Who a challenge is for, if he gets it."""
    mailbox = challenge.addressed(message.header)
    if mailbox is None or mailbox.domain_key not in context.domains:
        return None
    keys = {one.mailbox.key for one in message.envelope.recipients}
    return mailbox if mailbox.key in keys else None


def _hidden(message: Message, known: Challenge | None) -> Message:
    """Tell why the mail that an order waits for is not answered."""
    if known is None or challenge.fault(message.header, message.findings, known):
        return message
    return message.noting(_report(known, f"not answered: {_WRITTEN}"))


def _judged(
    message: Message, part: str, known: Challenge, context: Context
) -> tuple[Message, Verdict]:
    if why := challenge.fault(message.header, message.findings, known):
        return message.noting(_report(known, f"not answered: {why}")), Continue()
    to = [one for one in message.envelope.recipients if one.mailbox.key == known.mailbox.key]
    others = [one for one in message.envelope.recipients if one not in to]
    if others and not known.delivers:
        return message, Split((message.to(*to), message.to(*others)), again=True)
    answer, reason = _answer(message, part, known, context)
    noted = message.noting(*(one for one in (answer, _report(known, reason)) if one))
    if known.delivers:
        return noted, Continue()
    reason = f"ACME challenge of {known.sender}: {reason}"
    made = (Decision(str(one), str(known.sender), Done.ANSWERED, reason) for one in to)
    return noted.noting(*made), Discard(reason)


def _answer(
    message: Message, part: str, known: Challenge, context: Context
) -> tuple[Answered | None, str]:
    """RFC 8823 section 3: one challenge is answered once."""
    if challenge.mark(part) in known.answered:
        return None, "answered before"
    if len(known.answered) >= MAXIMUM_ANSWERS:
        return None, f"not answered: {MAXIMUM_ANSWERS} others were, for the same order"
    message_id = f"<{context.names()}@{known.mailbox.domain_key}>"
    made = challenge.response(part, message.header, known, message_id=message_id, now=context.now)
    return made, f"answered to {made.to} for {known.source}"


def _report(known: Challenge, reason: str) -> ChallengeReport:
    return ChallengeReport(known.sender, reason)
