"""What one attempt means for an item: who has it, who waits, who will never get it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from gatepost.flow.retry import Bounce, Delivered, History, RetryAt, Schedule, after
from gatepost.mail.delivery import Attempt
from gatepost.mail.reply import Reply
from gatepost.smtp.submission import UNVERIFIED
from gatepost.store.queue_item import Item

NEEDS_ENCRYPTION = "5.7.10"  # RFC 5248: what was meant all the time, not that time is over
_SILENCE = Reply(451, "4.3.0", "the relay did not say what became of this recipient")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The attempts of one transaction sorted by what follows; `due` is for the deferred ones."""

    delivered: tuple[Attempt, ...]
    deferred: tuple[Attempt, ...]
    failed: tuple[Attempt, ...]  # with the status the author is to read
    due: datetime


def judge(
    item: Item, attempts: Sequence[Attempt], *, tries: int, now: datetime, schedule: Schedule
) -> Judgement:
    """Sort an item's attempts; a recipient the relay forgot is deferred."""
    delivered, deferred, failed = [], [], []
    due = item.created + schedule.maximum_age
    for attempt in _complete(item, attempts):
        match after(History(item.id, item.created, tries, attempt.reply), now, schedule):
            case Delivered():
                delivered.append(attempt)
            case RetryAt(moment):
                deferred.append(attempt)
                due = min(due, moment)
            case Bounce(status):
                if attempt.reply.status == UNVERIFIED.status:
                    status = NEEDS_ENCRYPTION
                failed.append(replace(attempt, reply=replace(attempt.reply, status=status)))
            case other:
                assert_never(other)
    return Judgement(tuple(delivered), tuple(deferred), tuple(failed), due)


def unreached(attempts: Sequence[Attempt]) -> Reply | None:
    """The reply for which no mail can be delivered to the hop now; None: the hop answers.

    RFC 5321 section 3.8: 421 is a host that is shutting down, whatever was asked.  A hop
    not safe enough for one mail may be so for another.
    """
    if all(
        one.reply.is_transient
        and (not one.remote or one.reply.code == 421)
        and one.reply.status != UNVERIFIED.status
        for one in attempts
    ):
        return attempts[0].reply if attempts else _SILENCE
    return None


def _complete(item: Item, attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    known = {attempt.recipient: attempt for attempt in attempts}
    return tuple(
        known.get(recipient) or Attempt(recipient, _SILENCE)
        for recipient in item.envelope.recipients
    )
