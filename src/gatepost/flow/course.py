"""The one decision function: which stages a message goes through, and what comes of it.

Mail that our own trace field vouches for goes on as it is: treated again, arriving mail
would lose its result and leaving mail be wrapped once more.  A field that proves nothing
is taken out, so that it can neither mislead a neighbour nor be collected.

Monitor mode decides all the same and passes every octet on; only a ring of servers is broken.
"""

from __future__ import annotations

from dataclasses import replace

from gatepost.flow import inbound, loop, outbound, stamp
from gatepost.flow.context import Context
from gatepost.flow.decision import Decision, Done, decisions
from gatepost.flow.stage import Flow, Stage, run
from gatepost.flow.verdict import Continue, Outcome, Reject
from gatepost.mail import voucher
from gatepost.mail.message import Direction, Message
from gatepost.mail.trace import strip_authentication_results
from gatepost.mail.voucher import Voucher
from gatepost.mime import headers

STAGES = {Direction.OUTBOUND: outbound.STAGES, Direction.INBOUND: inbound.STAGES}
AGAIN: tuple[Stage, ...] = (loop, stamp)  # of mail that was treated before


def decide(message: Message, context: Context) -> Flow:
    """Decide about a message; yields the facts it lacks, returns the outcomes of its parts."""
    outcomes: tuple[Outcome, ...] = ()
    for part, stages in _parts(message, context):
        outcomes += yield from run(part, context, stages)
    return outcomes


def untouched(
    message: Message, context: Context, outcomes: tuple[Outcome, ...]
) -> tuple[Outcome, ...]:
    """What monitor mode makes of the outcomes: the message as it came, with all that was found."""
    _, verdict = loop.does(message, context)
    found = (one for outcome in outcomes for one in outcome.message.findings)
    noted = message.noting(
        *(replace(one, observed=True) if isinstance(one, Decision) else one for one in found)
    )
    return (Outcome(noted, verdict if isinstance(verdict, Reject) else Continue()),)


def undecided(message: Message, reason: str) -> tuple[Outcome, ...]:
    """What is noted when no decision could be made."""
    author = headers.author(message.header)
    noted = (
        Decision(str(one), str(author or ""), Done.DEFERRED, reason)
        for one in message.envelope.recipients
    )
    return (Outcome(message.noting(*noted), Continue()),)


def is_untouched(message: Message) -> bool:
    """Whether monitor mode let the message pass."""
    return any(one.observed for one in decisions(message.findings))


def is_known(message: Message) -> bool:
    """Whether this is our own mail that came round again."""
    return any(isinstance(one, Voucher) for one in message.findings)


def _parts(message: Message, context: Context) -> list[tuple[Message, tuple[Stage, ...]]]:
    """For whom it was treated before, and for whom not."""
    stages = STAGES[message.direction]
    if headers.first(message.header, voucher.NAME) is None:
        return [(message, stages)]
    found = voucher.proven(message, context.mac, context.now) if context.mac else None
    stripped = replace(message, header=headers.without(message.header, voucher.NAME))
    if found is None:
        return [(stripped, stages)]
    said, members = found
    others = tuple(one for one in message.envelope.recipients if one not in members)
    known = [(_known(message.to(*members), said, context), AGAIN)]
    return [*known, (stripped.to(*others), stages)] if others else known


def _known(message: Message, said: Voucher, context: Context) -> Message:
    header = message.header
    if said.by != context.hostname:  # vouched for are another node's results, not those in our name
        header = strip_authentication_results(header, context.hostname)
    author = headers.author(header)
    reason = f"this gateway treated it already ({said.done}, queue ID {said.id})"
    return replace(message, header=header).noting(
        said,
        *(
            Decision(str(one), str(author or ""), Done.UNCHANGED, reason)
            for one in message.envelope.recipients
        ),
    )
