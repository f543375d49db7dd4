"""From outcomes to one SMTP reply and what is to be stored before it is said.

One transaction has one reply (RFC 5321 section 4.1.1.4), so: any doubt defers the whole
message, nothing deliverable refuses it, and a refusal beside deliveries becomes a
failure notice in the same database transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from gatepost.engine.routing import Routes
from gatepost.events import Name
from gatepost.flow.decision import Decision, Done, decisions
from gatepost.flow.verdict import Continue, Defer, Discard, Hold, Outcome, Reject
from gatepost.mail.delivery import Attempt
from gatepost.mail.reply import Reply
from gatepost.store.queue_item import NewItem, Record, State

MAXIMUM_TEXT = 900  # octets of one combined reply text


@dataclass(frozen=True, slots=True)
class Resolution:
    """What becomes of one mail transaction."""

    reply: Reply
    items: tuple[NewItem, ...] = ()
    refused: tuple[Attempt, ...] = ()  # recipients owed a failure notice
    event: Name = Name.MESSAGE_ACCEPTED
    reason: str = ""


def resolve(queue_id: str, outcomes: Sequence[Outcome], routes: Routes) -> Resolution:
    """Weigh all outcomes of a message against each other."""
    for outcome in outcomes:
        if isinstance(outcome.verdict, Defer):
            verdict = outcome.verdict
            return Resolution(verdict.reply, event=Name.MESSAGE_DEFERRED, reason=verdict.reason)
    rejects = [one.verdict for one in outcomes if isinstance(one.verdict, Reject)]
    if len(rejects) == len(outcomes):
        reason = "; ".join(dict.fromkeys(one.reason for one in rejects))
        return Resolution(_combined(rejects), event=Name.MESSAGE_REFUSED, reason=reason)
    items = tuple(item for one in outcomes for item in _items(queue_id, one, routes))
    return Resolution(
        Reply(250, "2.0.0", f"Ok: queued as {queue_id}"),
        items,
        tuple(attempt for one in outcomes for attempt in _attempts(one)),
        *_summary(outcomes),
    )


def records(queue_id: str, now: datetime, outcomes: Iterable[Outcome]) -> tuple[Record, ...]:
    """Every recipient's decision, ready to be stored beside the message."""
    return tuple(
        Record(queue_id, now, Name.MESSAGE_DECIDED, json.dumps(decision.as_data()))
        for outcome in outcomes
        for decision in decisions(outcome.message.findings)
    )


def _items(queue_id: str, outcome: Outcome, routes: Routes) -> Iterator[NewItem]:
    state: State = "active"
    reason = ""
    match outcome.verdict:
        case Hold(reason):
            state = "hold"
        case Continue():
            pass
        case _:
            return
    message = outcome.message
    for hop, envelope in routes.divide(message.direction, message.envelope).items():
        yield NewItem(
            queue_id=queue_id,
            envelope=envelope,
            hop=hop,
            content=message.content,
            protected=_protected(decisions(message.findings)),
            state=state,
            reason=reason,
        )


def _protected(made: Iterable[Decision]) -> bool:
    """Whether content of this message may never be quoted in a failure notice."""
    return any(one.layers or one.done in {Done.ENCRYPTED, Done.SIGNED_ENCRYPTED} for one in made)


def _attempts(outcome: Outcome) -> Iterator[Attempt]:
    if isinstance(outcome.verdict, Reject):
        for recipient in outcome.message.envelope.recipients:
            yield Attempt(recipient, outcome.verdict.reply)


def _summary(outcomes: Sequence[Outcome]) -> tuple[Name, str]:
    verdicts = [one.verdict for one in outcomes]
    for verdict in verdicts:
        if isinstance(verdict, Hold):
            return Name.MESSAGE_HELD, verdict.reason
    for verdict in verdicts:
        if isinstance(verdict, Discard) and len(verdicts) == 1:
            return Name.MESSAGE_DISCARDED, verdict.reason
    return Name.MESSAGE_ACCEPTED, ""


def _combined(rejects: Sequence[Reject]) -> Reply:
    """The replies of all parts as one: the first one's code, everybody's text."""
    first = rejects[0].reply
    texts = list(dict.fromkeys(one.reply.text for one in rejects))
    kept = [texts[0], *(text for text in texts[1:] if len("".join(texts)) <= MAXIMUM_TEXT)]
    return Reply(first.code, first.status, "\n".join(kept))
