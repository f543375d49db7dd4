"""Looks again at mail that waits for a key, and lets it go as soon as it can be encrypted.

It is decided anew from its first octet, by the one decision function, whenever the
directory changed or a while has passed; what still cannot be encrypted goes on waiting,
and is returned to its author when it is too old.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from gatepost.engine.bounce import Bouncer
from gatepost.engine.drive import Gather, drive
from gatepost.engine.intake import split
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.routing import Routes
from gatepost.engine.verdict import items, records, softened
from gatepost.events import Name
from gatepost.flow.context import Context
from gatepost.flow.course import decide
from gatepost.flow.fact import CertificateFor
from gatepost.flow.retry import EXPIRED_STATUS
from gatepost.flow.verdict import Continue, Defer, Hold, Outcome, Reject, Wait
from gatepost.mail.delivery import Attempt
from gatepost.mail.envelope import Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mail.reply import Reply
from gatepost.pki.choose import Choice
from gatepost.policy.rules import Policy
from gatepost.store.contract import MailQueue
from gatepost.store.queue_item import Done, Item, NewItem, Record, Retried, Settlement
from gatepost.store.sealing import Corrupt

PAUSE = timedelta(minutes=15)  # between looks where nobody tells of new certificates
MAXIMUM = 10_000  # items at one look
_EVER = timedelta(days=3650)

Submit = Callable[[Iterable[Item]], None]


@dataclass(slots=True, eq=False)
class Waiting:
    """The waiting mail of one queue."""

    queue: MailQueue
    context: Callable[[], Context]
    gather: Gather
    generation: Callable[[], int]  # of the directory: moves when a certificate comes
    routes: Routes
    bouncer: Bouncer
    journal: Journal
    maximum_age: timedelta
    soft_bounce: bool = False
    _seen: int = -1
    _policy: Policy | None = field(default=None, repr=False)

    async def look(self, submit: Submit) -> None:
        """Look once; what may go is stored and submitted."""
        generation, context = self.generation(), self.context()
        is_other_policy = context.policy is not self._policy
        is_news = is_other_policy or generation != self._seen
        until = context.now + (_EVER if is_news else timedelta(0))
        found = await asyncio.to_thread(self.queue.waiting, until, MAXIMUM)
        left = list(found)
        try:
            while left:
                await self._look_at(left[0], context, submit, must=is_other_policy)
                del left[0]
        finally:
            self.queue.release(left)
        self._seen, self._policy = generation, context.policy

    async def _look_at(self, item: Item, context: Context, submit: Submit, *, must: bool) -> None:
        now = context.now
        try:
            if not self.queue.holds(item):
                self.queue.release((item,))
            elif now - item.created >= self.maximum_age:
                submit(await self._given_up(item, now))
            elif must or item.due <= now or await self._is_hopeful(item):
                submit(await self._decided(item, context))
            else:
                self.queue.release((item,))
        except Corrupt as error:
            self._note(item, Name.SERVICE_ERROR, service="waiting", reason=str(error))
            self._later(item, now)
        except Exception as error:  # noqa: BLE001 - one mail's trouble must not stop the others
            self._note(item, Name.SERVICE_ERROR, service="waiting", reason=reason_of(error))
            self._later(item, now)

    async def _is_hopeful(self, item: Item) -> bool:
        facts = frozenset(CertificateFor(one.mailbox) for one in item.envelope.recipients)
        answers = await self.gather(facts)
        return any(isinstance(one, Choice) and one.chosen for one in answers.values())

    async def _decided(self, item: Item, context: Context) -> tuple[Item, ...]:
        message = await asyncio.to_thread(self._message, item)
        outcomes = await drive(decide(message, context), self.gather, in_thread=True)
        if self.soft_bounce:
            outcomes = tuple(map(softened, outcomes))
        still = {who: reply for one in outcomes for who, reply in _waiting(one)}
        ended = [one for one in outcomes if not isinstance(one.verdict, Wait | Defer)]
        if not ended:
            self._later(item.still(still), context.now)
            return ()
        going = [
            replace(new, id=f"{item.id}.{number}")
            for number, new in enumerate(self._items(item, ended), item.tries + 1)
        ]
        failed = tuple(attempt for one in ended for attempt in _failed(one))
        notice = self.bouncer.failure(item, failed, context.now) if failed else None
        settlement: Settlement = Done(item)
        if still:
            # `tries` counts what has left, so that every item's id is its own.
            left = replace(item.still(still), tries=item.tries + len(going))
            settlement = Retried(replace(left, due=context.now + PAUSE))
        stored = await self.queue.accept(
            (*going, *((notice,) if notice else ())),
            records(item.queue_id, context.now, ended),
            (settlement,),
        )
        for one in ended:
            verdict = type(one.verdict).__name__.lower()
            for who in one.message.envelope.recipients:
                self._note(item, Name.MESSAGE_DECIDED, to=str(who), verdict=verdict)
        return stored

    def _message(self, item: Item) -> Message:
        header, body = split(self.queue.opened(item).content)
        known = dict(item.envelope.origin)
        arrival = Arrival(
            item.queue_id,
            item.created,
            peer=known.get("ADDR", "").removeprefix("IPV6:"),
            helo=known.get("HELO", ""),
            protocol=known.get("PROTO", "ESMTP"),
        )
        return Message(Direction.OUTBOUND, item.envelope, arrival, header, body)

    def _items(self, item: Item, outcomes: Iterable[Outcome]) -> list[NewItem]:
        going = (one for one in outcomes if isinstance(one.verdict, Continue | Hold))
        return [new for one in going for new in items(item.queue_id, one, self.routes)]

    async def _given_up(self, item: Item, now: datetime) -> tuple[Item, ...]:
        reply = Reply(450, EXPIRED_STATUS, item.reason or "no usable certificate became known")
        attempts = tuple(Attempt(one, reply) for one in item.envelope.recipients)
        notice = self.bouncer.failure(item, attempts, now)
        notes = tuple(self._failure(item, one, now) for one in attempts)
        return await self.queue.accept((notice,) if notice else (), notes, (Done(item),))

    def _failure(self, item: Item, attempt: Attempt, now: datetime) -> Record:
        said: dict[str, str | int | float | bool | None] = {
            "to": str(attempt.recipient),
            "dsn": EXPIRED_STATUS,
            "status": "failed",
            "reply": str(attempt.reply)[:300],
        }
        self._note(item, Name.DELIVERY_FAILED, **said)
        return Record(item.queue_id, now, Name.DELIVERY_FAILED, json.dumps(said))

    def _later(self, item: Item, now: datetime) -> None:
        self.queue.settle(Retried(replace(item, due=now + PAUSE)))

    def _note(self, item: Item, name: Name, **fields: str | float | None) -> None:
        self.journal.note(name, item.queue_id, **fields)


def _waiting(outcome: Outcome) -> list[tuple[Recipient, Reply]]:
    match outcome.verdict:
        case Wait(reply, _) | Defer(reply, _):
            return [(one, reply) for one in outcome.message.envelope.recipients]
    return []


def _failed(outcome: Outcome) -> list[Attempt]:
    match outcome.verdict:
        case Reject(reply, _):
            return [Attempt(one, reply) for one in outcome.message.envelope.recipients]
    return []
