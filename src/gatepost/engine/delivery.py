"""Brings queued mail to its next hop, and sees to what became of it.

Accepted items are handed over in memory; the database is read for retries, after a start
and for what memory has no room for.  A hop that is down is probed with one mail, not
with all of them.  Hops take turns, so that none of thousands waits for another's mail.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from gatepost.engine.bounce import Bouncer
from gatepost.engine.guard import Guarded
from gatepost.engine.journal import Journal, reason_of
from gatepost.engine.judgement import Judgement, judge, unreached
from gatepost.engine.lane import Lane, Room
from gatepost.engine.routing import MX
from gatepost.engine.schedule import Ticker
from gatepost.errors import KeyUnavailable, Unavailable
from gatepost.events import Event, Name
from gatepost.flow.retry import Schedule, is_late
from gatepost.mail.content import Content, Octets
from gatepost.mail.delivery import Attempt, NextHop
from gatepost.mail.envelope import Envelope
from gatepost.mail.reply import Reply
from gatepost.store.contract import MailQueue
from gatepost.store.queue_item import Done, Item, NewItem, Parked, Record, Retried, Settlement
from gatepost.store.sealing import Corrupt

_AGAIN = timedelta(minutes=1)  # after trouble of our own
_LATE_BATCH = 100
_BATCH = 256  # hops fetched for at one look
_OPENING = 2  # transactions at a time with a server that has not yet taken any mail
_UNUSED = 60  # looks
_log = structlog.get_logger("gatepost")
Submit = Callable[[Iterable[Item]], None]
_OUR_FAULT = Reply(451, "4.3.0", "local error in delivery")


class Relay(Protocol):
    """Whoever speaks SMTP to a next hop."""

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        """Try one mail transaction; one attempt per recipient, whatever happened."""
        ...


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How delivery goes about it."""

    schedule: Schedule = field(default_factory=Schedule)
    concurrency: int = 20  # transactions with one hop at a time
    total: int = 200  # and with all hops together
    look_every: float = 1.0  # seconds between looks for due retries
    revisit_every: float = 5.0  # seconds between looks at mail that waits for a key
    late_every: float = 60.0  # seconds between looks for delayed and expired mail of hops down
    retention: timedelta = timedelta(days=30)  # of records


class Delivery:
    """Delivers the mail of one queue."""

    def __init__(
        self,
        queue: MailQueue,
        relay: Relay,
        routes: Callable[[Item], NextHop],
        settings: DeliverySettings,
        *,
        bouncer: Bouncer,
        journal: Journal,
        clock: Callable[[], datetime],
        revisit: Callable[[Submit], Awaitable[None]] | None = None,
    ) -> None:
        """`revisit` looks at mail that waits for something else than its next hop."""
        self._queue = queue
        self._relay = relay
        self._routes = routes
        self._settings = settings
        self._bouncer = bouncer
        self._journal = journal
        self._clock = clock
        self._lanes: dict[str, Lane] = {}
        self._ready: dict[str, Lane] = {}  # whose turn it is, in order
        self._room = Room()
        self._running = 0
        self._turn = ""  # the hop that was fetched for last
        self._tasks: set[asyncio.Task[None]] = set()
        self._nudges = 0
        self._stopping = False
        self._look = Ticker("delivery.look", settings.look_every, self._fetch, journal)
        self._noticing = Ticker("delivery.notice", 3600, self._notice, journal)
        self._lateness = Ticker("delivery.late", settings.late_every, self._report_late, journal)
        self._pruning = Ticker("delivery.prune", 3600, self._prune, journal)
        self._revisiting = Ticker(
            "delivery.revisit", settings.revisit_every, self._revisit, journal
        )
        self._revisited = revisit
        self._tickers = (
            self._look, self._noticing, self._lateness, self._pruning, self._revisiting
        )  # fmt: skip

    async def start(self) -> None:
        """Recover the queue and begin; call it before anything is accepted."""
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._queue.recover)
        self._nudges = await asyncio.to_thread(self._queue.nudges)
        for hop in await asyncio.to_thread(self._queue.hops):
            self._lane(hop).more = True
        self._queue.changed = lambda: loop.call_soon_threadsafe(self._noticing.wake)
        for ticker in self._tickers:
            ticker.start()

    def submit(self, items: Iterable[Item]) -> None:
        """Deliver items that `Queue.accept` just returned."""
        now = self._clock()
        for item in items:
            if self._stopping or item.state != "active":
                self._queue.release((item,))
                continue
            lane = self._lane(item.hop)
            if lane.put(item, now):
                self._start(lane)
            else:
                self._queue.release((item,))
                if lane.wants(now):
                    self._look.wake()

    async def stop(self, grace: timedelta = timedelta(seconds=30)) -> None:
        """Finish what is under way, leave the rest in the queue, write everything down."""
        self._stopping = True
        self._ready.clear()
        for ticker in self._tickers:
            await ticker.stop()
        for lane in self._lanes.values():
            self._queue.release(lane.empty())
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=grace.total_seconds())
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
        await self._queue.flush()

    def _lane(self, hop: str) -> Lane:
        lane = self._lanes.get(hop)
        if lane is None:
            opening = _OPENING if hop.startswith(MX) else self._settings.concurrency
            lane = Lane(hop, self._settings.concurrency, opening=opening, room=self._room)
            self._lanes[hop] = lane
        return lane

    def _start(self, lane: Lane) -> None:
        """Start what the lane allows, in turns with every other lane that has something."""
        self._ready[lane.hop] = lane
        while self._ready and self._running < self._settings.total and not self._stopping:
            lane = self._ready.pop(next(iter(self._ready)))
            item = lane.take(self._clock())
            if item is None:
                continue
            self._ready[lane.hop] = lane
            self._running += 1
            task = asyncio.get_running_loop().create_task(self._deliver(lane, item))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, lane: Lane, item: Item) -> None:
        try:
            await self._attempt(lane, item)
        except Corrupt as error:
            self._note(Name.SERVICE_ERROR, item, service="delivery", reason=str(error))
            self._queue.settle(Parked(item, "corrupt", str(error)))
        except Exception as error:  # noqa: BLE001 - one mail's trouble must not stop the others
            self._note(Name.SERVICE_ERROR, item, service="delivery", reason=reason_of(error))
            self._queue.settle(Retried(self._later(item)))
        finally:
            lane.done()
            self._running -= 1
            self._start(lane)
            if lane.more and lane.wants(self._clock()):
                self._look.wake()

    async def _attempt(self, lane: Lane, item: Item) -> None:
        if not self._queue.holds(item):  # another node may be delivering it by now
            self._queue.release((item,))
            return
        if item.undecided:  # clear text that must be encrypted, whatever its state says
            self._queue.settle(Parked(item, "waiting", item.reason))
            return
        probing = lane.failures > 0
        if not isinstance(item.content, Octets):
            item = await asyncio.to_thread(self._queue.opened, item)
        attempts, ours = await self._relayed(item)
        now = self._clock()
        tries = item.tries + (0 if probing else 1)
        schedule = self._settings.schedule
        judgement = judge(item, attempts, tries=tries, now=now, schedule=schedule)
        trouble = None if ours else unreached(attempts)
        if trouble is None:
            lane.reached()
        else:
            self._queue.release(lane.unreached(trouble, now))
            if probing and lane.closed_until is not None:
                # The hop's pauses count while it is down, not the mail's own.
                judgement = replace(judgement, due=min(judgement.due, lane.closed_until))
                tries = item.tries
        await self._conclude(replace(item, tries=tries), judgement, now)

    async def _relayed(self, item: Item) -> tuple[Sequence[Attempt], bool]:
        """What the relay says, and whether a failure is our own rather than the hop's."""
        try:
            hop = self._routes(item)
            content = Guarded(item.content, lambda: self._queue.holds(item))
            return await self._relay.deliver(hop, item.envelope, content), False
        except Corrupt:
            raise
        except Unavailable as error:
            return _all(item, Reply.for_error(error)), isinstance(error, KeyUnavailable)
        except Exception as error:  # noqa: BLE001 - a fault of ours; the mail waits for its repair
            self._note(Name.SERVICE_ERROR, item, service="delivery", reason=reason_of(error))
            return _all(item, _OUR_FAULT), True

    async def _conclude(self, item: Item, judgement: Judgement, now: datetime) -> None:
        """Settle the item and notify its author, in one transaction."""
        late = bool(judgement.deferred) and not item.warned and self._is_late(item, now)
        settlement: Settlement = Done(item)
        if judgement.deferred:
            left = item.still({one.recipient: one.reply for one in judgement.deferred})
            left = replace(left, due=judgement.due, warned=item.warned or late)
            settlement = Retried(left)
        records: tuple[Record, ...] = ()
        notices: tuple[NewItem, ...] = ()
        try:
            records = self._report(item, judgement, now)
            notices = self._notices(item, judgement, now, late=late)
        except Exception as error:  # noqa: BLE001 - or who has the mail would get it again and again
            _log.error(Name.SERVICE_ERROR, queue_id=item.queue_id, reason=reason_of(error))
        if not notices:
            self._queue.settle(settlement, records=records)
            return
        try:
            self.submit(await self._queue.accept(notices, records, (settlement,)))
        except Unavailable:
            # Nobody who has the mail gets it again; who will not is decided again, with a notice.
            both = (*judgement.deferred, *judgement.failed)
            left = item.still({one.recipient: one.reply for one in both})
            self._queue.settle(Retried(self._later(left)))

    def _notices(
        self, item: Item, judgement: Judgement, now: datetime, *, late: bool
    ) -> tuple[NewItem, ...]:
        notices = [self._bouncer.success(item, judgement.delivered, now)]
        if judgement.failed:
            notices.append(self._bouncer.failure(item, judgement.failed, now))
        if late:
            until = item.created + self._settings.schedule.maximum_age
            notices.append(self._bouncer.delay(item, judgement.deferred, now, until))
        return tuple(one for one in notices if one is not None)

    def _report(self, item: Item, judgement: Judgement, now: datetime) -> tuple[Record, ...]:
        kinds = (
            (Name.DELIVERY_DONE, judgement.delivered, "delivered"),
            (Name.DELIVERY_RETRY, judgement.deferred, "deferred"),
            (Name.DELIVERY_FAILED, judgement.failed, "failed"),
        )
        delay = round((now - item.created).total_seconds(), 3)
        return tuple(
            _record(
                self._note(
                    name,
                    item,
                    to=str(one.recipient),
                    hop=item.hop,
                    remote=one.remote,
                    dsn=one.reply.status or f"{one.reply.code // 100}.0.0",
                    status=status,
                    reply=str(one.reply)[:300],
                    tls=one.tls,
                    security=one.security[:300],
                    delay=delay,
                )
            )
            for name, attempts, status in kinds
            for one in attempts
        )

    async def _fetch(self) -> None:
        """Fetch what is due for the lanes with room, and start it; forget unused lanes."""
        now = self._clock()
        hops = await asyncio.to_thread(self._queue.hops, now)
        self._tidy(hops)
        later = sorted(hop for hop in hops if hop > self._turn)
        turns = (*later, *sorted(hops.difference(later)))
        asked = {hop: n for hop in turns if (n := self._lane(hop).wants(now))}
        wanted = dict(list(asked.items())[:_BATCH])
        found = await asyncio.to_thread(self._due, wanted, now)
        for hop, items in found.items():
            lane = self._lane(hop)
            if self._stopping or lane.is_down(now):
                self._queue.release(items)
                continue
            lane.fill(items, more=len(items) == wanted[hop])
            self._start(lane)
        if len(wanted) < len(asked):
            self._turn = next(reversed(wanted))
            if any(found.values()):
                self._look.wake()

    def _tidy(self, due: frozenset[str]) -> None:
        """Forget lanes that had nothing to do for a while; what a lane has learned costs memory."""
        for lane in tuple(self._lanes.values()):
            if lane.hop not in due:
                lane.more = False
            lane.unused = lane.unused + 1 if lane.is_idle else 0
            if lane.unused > _UNUSED:
                del self._lanes[lane.hop]

    def _due(self, wanted: Mapping[str, int], now: datetime) -> dict[str, tuple[Item, ...]]:
        found: dict[str, tuple[Item, ...]] = {}
        try:
            for hop, limit in wanted.items():
                found[hop] = self._queue.due(hop, now, limit)
        except BaseException:  # or nobody would ever look at them again
            for items in found.values():
                self._queue.release(items)
            raise
        return found

    async def _notice(self) -> None:
        """Somebody else wrote to the database: forget what they took, fetch what they gave."""
        hops = await asyncio.to_thread(self._queue.hops)
        for lane in tuple(self._lanes.values()):
            if lane.hop not in hops and not (lane.running or lane.waiting()):
                del self._lanes[lane.hop]  # nothing is left that could tell whether it is back
        waiting = [item for lane in self._lanes.values() for item in lane.waiting()]
        gone = await asyncio.to_thread(self._queue.gone, waiting)
        nudges = await asyncio.to_thread(self._queue.nudges)
        for lane in self._lanes.values():
            self._queue.release(lane.drop(gone))
            if nudges != self._nudges:
                lane.nudge()
        if nudges != self._nudges:
            self._revisiting.wake()
        self._nudges = nudges
        self._look.wake()

    async def _report_late(self) -> None:
        """Mail that a hop's outage keeps from being tried grows late all the same."""
        now = self._clock()
        schedule = self._settings.schedule
        for lane in [lane for lane in self._lanes.values() if lane.failures]:
            items = await asyncio.to_thread(self._queue.late, lane.hop, now, schedule, _LATE_BATCH)
            for item in items:
                judgement = judge(
                    item, _all(item, lane.said), tries=item.tries, now=now, schedule=schedule
                )
                await self._conclude(item, replace(judgement, due=item.due), now)
            if len(items) == _LATE_BATCH:
                self._lateness.wake()

    async def _revisit(self) -> None:
        if self._revisited is not None:
            await self._revisited(self.submit)

    async def _prune(self) -> None:
        await self._queue.prune(self._settings.retention)

    def _is_late(self, item: Item, now: datetime) -> bool:
        return is_late(item.created, now, self._settings.schedule)

    def _later(self, item: Item) -> Item:
        return replace(item, due=self._clock() + _AGAIN)

    def _note(self, name: Name, item: Item, **fields: str | float | None) -> Event:
        return self._journal.note(name, item.queue_id, **fields)


def _all(item: Item, reply: Reply) -> tuple[Attempt, ...]:
    return tuple(Attempt(recipient, reply) for recipient in item.envelope.recipients)


def _record(event: Event) -> Record:
    return Record(event.queue_id, event.at, str(event.name), _compose(event.fields))


_compose = json.JSONEncoder(separators=(",", ":")).encode
