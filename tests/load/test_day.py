"""A day of mail in seconds: the clock is moved by hand, queue and delivery are the real ones.

Every message is accounted for: delivered once, or returned once with the right status at
the right hour; authors hear of a delay once, if they want to.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import ge
from pathlib import Path

import pytest
from tests.patience import soon
from tests.unit.store.box import MARKER, START, Clock, TestSeal

from gatepost.engine.bounce import Bouncer
from gatepost.engine.delivery import Delivery, DeliverySettings
from gatepost.engine.journal import Journal
from gatepost.flow.retry import Schedule
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, Octets, join
from gatepost.mail.delivery import Attempt, NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.store.queue import Queue
from gatepost.store.queue_control import Control
from gatepost.store.queue_id import Identifier
from gatepost.store.queue_item import NewItem

HOUR, STEP = timedelta(hours=1), timedelta(minutes=10)
SCHEDULE = Schedule(maximum_age=12 * HOUR, warn_after=4 * HOUR)
OUTAGE = START + 6 * HOUR, START + 11 * HOUR  # of one hop
OK, BUSY = Reply(250, "2.0.0", "ok"), Reply(451, "4.2.1", "mailbox busy")
GONE, DOWN = Reply(550, "5.1.1", "no such user"), Reply(451, "4.4.1", "connection refused")
KINDS = ("well", "busy2", "busy6", "gone", "lost", "down")
WISHES = (None, "NEVER", "FAILURE", "FAILURE,DELAY")


@dataclass
class World:
    """Next hops that behave by the recipient's name, and what they saw when."""

    clock: Clock
    born: dict[str, datetime] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    delivered: dict[str, list[datetime]] = field(default_factory=dict)
    notices: dict[tuple[str, str], list[tuple[datetime, bytes]]] = field(default_factory=dict)

    looks: list[int] = field(default_factory=list)  # for work, and for late mail; to their ends

    def counted(
        self, which: int, look: Callable[[], Awaitable[object]]
    ) -> Callable[[], Awaitable[object]]:
        """The same, counted."""

        async def act() -> None:
            await look()
            self.looks[which] += 1

        return act

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        """One transaction."""
        await asyncio.sleep(0)
        now = self.clock()
        if envelope.return_path is None:
            self._noticed(join(content), now)
            return tuple(Attempt(one, OK, "mail.alpha.test") for one in envelope.recipients)
        return tuple(self._answer(hop, str(one), one, now) for one in envelope.recipients)

    def _answer(self, hop: NextHop, name: str, who: Recipient, now: datetime) -> Attempt:
        self.attempts[name] += 1
        if hop.host == "down" and OUTAGE[0] <= now < OUTAGE[1]:
            self.attempts["outage"] += 1
            return Attempt(who, DOWN)
        reply = self._reply(name.partition("-")[0], now - self.born[name])
        if reply is OK:
            self.delivered.setdefault(name, []).append(now)
        return Attempt(who, reply, "mx.beta.test")

    def _reply(self, kind: str, age: timedelta) -> Reply:
        match kind:
            case "busy2" | "busy6":
                return BUSY if age < int(kind[-1]) * HOUR else OK
            case "gone":
                return GONE
            case "lost":
                return BUSY
        return OK

    def _noticed(self, octets: bytes, now: datetime) -> None:
        fields = dict(line.split(b": ", 1) for line in octets.splitlines() if b": " in line)
        name = fields[b"Final-Recipient"].removeprefix(b"rfc822; ").decode()
        key = (name, fields[b"Action"].decode())
        self.notices.setdefault(key, []).append((now, fields[b"Status"]))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[World, Delivery, Queue]]:
    """Queue and delivery with hops of a day."""
    clock = Clock()
    made, ids = World(clock), Identifier(bytes)
    queue = Queue(tmp_path, TestSeal(), clock=clock)
    delivery = Delivery(
        queue,
        made,
        lambda item: NextHop(item.hop),
        DeliverySettings(SCHEDULE, look_every=0.005, late_every=0.005, revisit_every=60),
        bouncer=Bouncer("gate.alpha.test", lambda _: "inbound", ids, lambda: "token"),
        journal=Journal(clock),
        clock=clock,
    )
    for ticker in (delivery._look, delivery._lateness):
        ticker._action = made.counted(len(made.looks), ticker._action)
        made.looks.append(0)
    await delivery.start()
    yield made, delivery, queue
    await delivery.stop()
    await asyncio.to_thread(queue.close)


async def quiet(world: World, delivery: Delivery, queue: Queue) -> None:
    """Wait until nothing more happens at this moment."""
    still = 0
    while still < 2:
        before = (sum(world.attempts.values()), sum(map(len, world.notices.values())))
        enough = [one + 2 for one in world.looks]  # of two the second began after this line
        await soon(lambda: all(map(ge, world.looks, enough)) and not delivery._tasks)  # noqa: B023
        await queue.flush()
        after = (sum(world.attempts.values()), sum(map(len, world.notices.values())))
        still = still + 1 if before == after else 0


async def accept(
    world: World, delivery: Delivery, queue: Queue, name: str, wish: str | None
) -> None:
    """One mail arrives."""
    world.born[name] = world.clock()
    who = Recipient(Mailbox.parse(name), wish)
    envelope = Envelope(Mailbox.parse("alice@alpha.test"), (who,))
    hop = "down" if name.startswith("down") else "outbound"
    content = Octets(b"From: alice@alpha.test\r\n\r\n" + MARKER)
    delivery.submit(await queue.accept([NewItem(name.partition("@")[0], envelope, hop, content)]))


async def test_a_day(world: tuple[World, Delivery, Queue], tmp_path: Path) -> None:
    """In a night with outages mail is lost, doubled, returned too early, or its author left alone."""
    seen, delivery, queue = world
    chance = random.Random(24)
    coming = {
        f"{kind}-{n}@beta.test": (
            START + chance.random() * (10.5 if kind != "lost" else 11) * HOUR,
            WISHES[n % len(WISHES)],
        )
        for kind in KINDS
        for n in range(16)
    }
    while seen.clock.now < START + 24 * HOUR:
        seen.clock.now += STEP
        for name in [one for one, (at, _) in coming.items() if at <= seen.clock.now]:
            await accept(seen, delivery, queue, name, coming.pop(name)[1])
        await quiet(seen, delivery, queue)
    assert Control(tmp_path).list() == ()
    assert coming == {}
    for n in range(16):
        wish = WISHES[n % len(WISHES)]
        for kind in KINDS:
            check(seen, f"{kind}-{n}@beta.test", kind, wish)
    # A hop that is down is probed, every five minutes at the most, not asked once for each mail.
    assert seen.attempts["outage"] <= 5 * 60 / 5 * 1.2 + 20


def check(seen: World, name: str, kind: str, wish: str | None) -> None:
    """What became of one mail."""
    born, told = seen.born[name], seen.notices
    delayed, failed = (told.get((name, action), []) for action in ("delayed", "failed"))
    ends = kind in {"gone", "lost"}
    assert len(seen.delivered.get(name, [])) == (0 if ends else 1), name
    wants_failure = wish != "NEVER"
    assert len(failed) == (1 if ends and wants_failure else 0), name
    if kind == "gone":
        assert seen.attempts[name] == 1
        assert [status for _, status in failed] == [b"5.1.1"] * len(failed)
    if kind == "lost":
        assert 12 <= seen.attempts[name] <= 30, seen.attempts[name]
        for at, status in failed:
            assert status == b"4.4.7"
            assert SCHEDULE.maximum_age <= at - born <= SCHEDULE.maximum_age + 2 * STEP
    (arrived,) = seen.delivered.get(name, [born + 24 * HOUR])
    late = arrived - born > SCHEDULE.warn_after + STEP and kind != "gone"
    wants_delay = wish in {None, "FAILURE,DELAY"}
    if arrived - born <= SCHEDULE.warn_after or not wants_delay:
        assert delayed == [], name
    elif late:
        ((at, status),) = delayed
        assert status.startswith(b"4.")
        assert SCHEDULE.warn_after <= at - born <= SCHEDULE.warn_after + 2 * STEP, name
    if kind == "busy2":
        assert arrived - born <= 3 * HOUR + STEP
    if kind == "busy6":
        assert 6 * HOUR <= arrived - born <= 7 * HOUR + 2 * STEP
