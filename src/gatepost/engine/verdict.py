"""From outcomes to one SMTP reply and what is to be stored before it is said.

One transaction has one reply (RFC 5321 section 4.1.1.4), so: any doubt defers the whole
message, nothing deliverable refuses it, and a refusal beside deliveries becomes a
failure notice in the same database transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from gatepost.engine.routing import Routes
from gatepost.events import Name
from gatepost.flow.course import is_known, is_untouched
from gatepost.flow.decision import CertificateNote, Decision, Done, decisions
from gatepost.flow.selection import DIFFERS
from gatepost.flow.verdict import Continue, Defer, Discard, Hold, Outcome, Reject, Wait
from gatepost.mail.content import Content
from gatepost.mail.delivery import Attempt
from gatepost.mail.envelope import Envelope
from gatepost.mail.message import Message
from gatepost.mail.reply import Reply
from gatepost.store.queue_item import NewItem, Record, State

MAXIMUM_TEXT = 900  # octets of one combined reply text
# Of a record, kept for weeks for every recipient: what is told of layers and certificates is
# whatever their makers put there.
MAXIMUM_LISTED, MAXIMUM_WORDS = 32, 500


@dataclass(frozen=True, slots=True)
class Resolution:
    """What becomes of one mail transaction."""

    reply: Reply
    items: tuple[NewItem, ...] = ()
    refused: tuple[Attempt, ...] = ()  # recipients owed a failure notice
    event: Name = Name.MESSAGE_ACCEPTED
    reason: str = ""
    waiting: tuple[Attempt, ...] = ()  # recipients who wait, of which the author is told

    def replies(self, envelope: Envelope) -> tuple[Reply, ...]:
        """One reply for each recipient (RFC 2033 section 4.2)."""
        refused = {one.recipient: one.reply for one in self.refused}
        return tuple(refused.get(one, self.reply) for one in envelope.recipients)


def resolve(
    queue_id: str,
    outcomes: Sequence[Outcome],
    routes: Routes,
    *,
    for_each: bool = False,
    soft: bool = False,
    original: Content | None = None,
) -> Resolution:
    """Weigh all outcomes of a message against each other.

    With `for_each` the peer hears a reply for each recipient, so one that is deferred holds
    nobody back; it is among the `refused`, who are told in the session and by no notice.
    With `soft` nothing is refused for good.  `original` is the content as it came, for parts
    that were not touched.
    """
    if soft:
        outcomes = [softened(one) for one in outcomes]
    if for_each:
        outcomes = [_deferred(one) for one in outcomes]
    for outcome in outcomes:
        if isinstance(outcome.verdict, Defer):
            verdict = outcome.verdict
            return Resolution(verdict.reply, event=Name.MESSAGE_DEFERRED, reason=verdict.reason)
    rejects = [one.verdict for one in outcomes if isinstance(one.verdict, Reject)]
    # Under the null path nobody would be told of a refusal beside deliveries: refuse as one.
    unheard = not for_each and outcomes[0].message.envelope.return_path is None
    if len(rejects) == len(outcomes) or (rejects and unheard):
        reason = "; ".join(dict.fromkeys(one.reason for one in rejects))
        # Refused as one in SMTP, where nobody is owed a notice; each told in LMTP.
        refused = tuple(_refused(outcomes)) if for_each else ()
        reply = _combined(rejects)
        return Resolution(reply, refused=refused, event=Name.MESSAGE_REFUSED, reason=reason)
    stored = tuple(new for one in outcomes for new in items(queue_id, one, routes, original))
    return Resolution(
        Reply(250, "2.0.0", f"Ok: queued as {queue_id}"),
        stored,
        tuple(_refused(outcomes)),
        *_summary(outcomes),
        tuple(_waiting(outcomes)),
    )


def records(queue_id: str, now: datetime, outcomes: Iterable[Outcome]) -> tuple[Record, ...]:
    """Every recipient's decision, ready to be stored beside the message."""
    return tuple(
        Record(queue_id, now, Name.MESSAGE_DECIDED, json.dumps(_told(decision)))
        for outcome in outcomes
        for decision in decisions(outcome.message.findings)
    )


def held(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, CertificateNote]]:
    """Who is not written to because his key is another than before, until somebody accepts it."""
    for outcome in outcomes:
        for decision in decisions(outcome.message.findings):
            for note in decision.rejected[:1]:
                if note.reason.startswith(DIFFERS):
                    yield decision.recipient, note


def _told(decision: Decision) -> dict[str, object]:
    """A decision as data; the policy's part is an administrator's words, and stays whole."""
    data = decision.as_data()
    return {name: one if name == "treatment" else _clipped(one) for name, one in data.items()}


def _clipped(data: object) -> object:
    """The same JSON value with long texts and long lists cut."""
    match data:
        case str():
            return data if len(data) <= MAXIMUM_WORDS else data[:MAXIMUM_WORDS] + "…"
        case dict():
            return {name: _clipped(value) for name, value in data.items()}
        case list():
            kept = [_clipped(one) for one in data[:MAXIMUM_LISTED]]
            left = len(data) - len(kept)
            return [*kept, f"and {left} more"] if left and isinstance(kept[0], str) else kept
    return data


def items(
    queue_id: str, outcome: Outcome, routes: Routes, original: Content | None = None
) -> Iterator[NewItem]:
    """What is to be stored of one outcome; `original` is the content as it came."""
    state: State = "active"
    reason, waits = "", False
    match outcome.verdict:
        case Hold(reason, quarantine):
            state = "quarantine" if quarantine else "hold"
        case Wait(reply, _):
            state, reason, waits = "waiting", " ".join(reply.text.split()), True
        case Continue():
            pass
        case _:
            return
    message = outcome.message
    untouched = is_untouched(message)
    protected = waits or is_known(message) or _protected(message)
    content = message.content
    if original is not None and (waits or untouched):
        content = original
    elif waits:
        raise ValueError("what waits is kept as it came")
    whole = message.envelope
    if protected and not (waits or untouched):
        # A next hop that speaks DSN must not return what we decrypted (RFC 3461 section 4.3).
        whole = replace(whole, ret="HDRS")
    for hop, envelope in routes.divide(message.direction, whole, message.size).items():
        yield NewItem(
            queue_id=queue_id,
            envelope=envelope,
            hop=hop,
            content=content,
            protected=protected,
            undecided=waits,
            state=state,
            reason=reason,
        )


def softened(outcome: Outcome) -> Outcome:
    """A refused part deferred instead."""
    verdict = outcome.verdict
    if not isinstance(verdict, Reject):
        return outcome
    return Outcome(outcome.message, Defer(verdict.reply.softened(), verdict.reason))


def _deferred(outcome: Outcome) -> Outcome:
    """A deferred part refused for now, by its own reply."""
    verdict = outcome.verdict
    if not isinstance(verdict, Defer):
        return outcome
    return Outcome(outcome.message, Reject(verdict.reply, verdict.reason))


def _protected(message: Message) -> bool:
    """Whether content of this message may never be quoted in a failure notice."""
    made = decisions(message.findings)
    return message.envelope.secure or any(
        one.layers or one.done in {Done.ENCRYPTED, Done.SIGNED_ENCRYPTED} for one in made
    )


def _refused(outcomes: Iterable[Outcome]) -> Iterator[Attempt]:
    for outcome in outcomes:
        if isinstance(outcome.verdict, Reject):
            for recipient in outcome.message.envelope.recipients:
                yield Attempt(recipient, outcome.verdict.reply)


def _waiting(outcomes: Iterable[Outcome]) -> Iterator[Attempt]:
    for outcome in outcomes:
        if isinstance(outcome.verdict, Wait):
            for recipient in outcome.message.envelope.recipients:
                yield Attempt(recipient, outcome.verdict.reply)


def _summary(outcomes: Sequence[Outcome]) -> tuple[Name, str]:
    verdicts = [one.verdict for one in outcomes]
    for verdict in verdicts:
        if isinstance(verdict, Hold):
            return Name.MESSAGE_HELD, verdict.reason
        if isinstance(verdict, Wait):
            return Name.MESSAGE_WAITING, verdict.reason
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
