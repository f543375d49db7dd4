"""Delivery: nobody is forgotten, nobody gets it twice, and the author hears of failures."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.patience import PATIENCE, soon
from tests.unit.store.box import MARKER, START, Clock, TestSeal, envelope

from gatepost.engine.bounce import Bouncer
from gatepost.engine.delivery import Delivery, DeliverySettings
from gatepost.engine.journal import Journal
from gatepost.errors import GatepostError, Unavailable
from gatepost.events import Event, Name
from gatepost.flow.retry import Schedule
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, Octets, join
from gatepost.mail.delivery import Attempt, NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.store.queue import Queue
from gatepost.store.queue_control import Control
from gatepost.store.queue_id import Identifier
from gatepost.store.queue_item import Item, NewItem
from gatepost.store.spool import IN_MEMORY

OK = Reply(250, "2.0.0", "ok")
LATER = Reply(451, "4.2.1", "mailbox busy")
NO = Reply(550, "5.1.1", "no such user")
DOWN = Reply(451, "4.4.1", "connection refused")
REMOTE = "mx.beta.test[192.0.2.1]:25"
HEADER = b"From: alice@alpha.test\r\nTo: b@beta.test\r\nSubject: Project Nightingale\r\nMessage-ID: <1@alpha.test>\r\n"
MAIL = HEADER + b"\r\n" + MARKER


class Sent:
    """A relay that answers by script and remembers everything."""

    def __init__(self) -> None:
        self.transactions: list[tuple[str, Envelope, bytes]] = []
        self.replies: dict[str, Reply] = {}
        self.reports = self.is_final = False  # of the next hop
        self.down: set[str] = set()
        self.refusals: dict[str, Reply] = {}  # before anybody was reached
        self.attempts = 0
        self.gate: Callable[[], Awaitable[object]] | None = None
        self.most = 0
        self._now = 0

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        self.attempts += 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await (self.gate() if self.gate else asyncio.sleep(0))
            if any(str(one) in self.refusals for one in envelope.recipients):
                return tuple(Attempt(one, self.refusals[str(one)]) for one in envelope.recipients)
            if hop.host in self.down:
                return tuple(Attempt(one, DOWN) for one in envelope.recipients)
            self.transactions.append((hop.host, envelope, join(content)))
            return tuple(
                Attempt(
                    one,
                    self.replies.get(str(one), OK),
                    REMOTE,
                    reports=self.reports,
                    is_final=self.is_final,
                )
                for one in envelope.recipients
            )
        finally:
            self._now -= 1

    def to(self) -> list[str]:
        return [str(one) for _, envelope, _ in self.transactions for one in envelope.recipients]


def _back(mailbox: Mailbox) -> str:
    return "inbound" if mailbox.domain_key == "alpha.test" else "outbound"


class World:
    """A queue, a delivery, a scripted next hop and a clock."""

    total = 200

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.sent = Sent()
        self.events: list[Event] = []
        self.journal = Journal(self.clock)
        self.journal.observe(self.events.append)
        self._ids = Identifier(bytes)
        self.queue = Queue(folder, TestSeal(), clock=self.clock)
        self.delivery = self._delivery()

    def _delivery(self) -> Delivery:
        return Delivery(
            self.queue,
            self.sent,
            lambda item: NextHop(item.hop),
            DeliverySettings(look_every=0.01, late_every=0.01, concurrency=3, total=self.total),
            bouncer=Bouncer("gate.alpha.test", _back, self._ids, lambda: "token"),
            journal=self.journal,
            clock=self.clock,
        )

    async def accept(self, *items: NewItem) -> tuple[Item, ...]:
        stored = await self.queue.accept(items)
        self.delivery.submit(stored)
        return stored

    async def mail(
        self,
        *to: str,
        sender: str | None = "alice@alpha.test",
        hop: str = "outbound",
    ) -> Item:
        message = NewItem(self._ids(self.clock()), envelope(*to, sender=sender), hop, Octets(MAIL))
        (item,) = await self.accept(message)
        return item

    async def until(self, condition: Callable[[], bool], what: str = "") -> None:
        await soon(condition, what or "it never happened")

    async def empty(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.queue.flush()
            while self.queue.counts():
                await asyncio.sleep(0.01)
                await self.queue.flush()

    async def restart(self) -> None:
        await self.delivery.stop(timedelta(0))
        await asyncio.to_thread(self.queue.close)
        self.queue = Queue(self.folder, TestSeal(), clock=self.clock)
        self.delivery = self._delivery()
        await self.delivery.start()

    def names(self) -> list[Name]:
        return [event.name for event in self.events]

    def is_tried(self, before: int) -> bool:
        return len(self.sent.to()) > before

    def notices(self) -> list[tuple[str, Envelope, bytes]]:
        return [one for one in self.sent.transactions if one[1].return_path is None]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.delivery.start()
    yield made
    await made.delivery.stop()
    await asyncio.to_thread(made.queue.close)


async def test_delivered(world: World) -> None:
    """Accepted mail arrives octet for octet, once, and leaves the queue and a trace."""
    item = await world.mail("b@beta.test", "c@beta.test")
    await world.empty()
    assert world.sent.transactions == [("outbound", item.envelope, MAIL)]
    done = [event for event in world.events if event.name == Name.DELIVERY_DONE]
    assert [(e.queue_id, e.fields["to"]) for e in done] == [
        (item.queue_id, "b@beta.test"),
        (item.queue_id, "c@beta.test"),
    ]
    assert done[0].fields["dsn"] == "2.0.0"
    assert done[0].fields["hop"] == "outbound"
    assert "Nightingale" not in str(world.events)
    records = Control(world.folder).records(item.queue_id)
    assert [record.name for record in records] == ["delivery.done"] * 2
    assert json.loads(records[0].data)["remote"] == REMOTE


async def test_partial(world: World) -> None:
    """Of three recipients one has it, one waits, one does not exist: each gets what is due."""
    world.sent.replies = {"c@beta.test": LATER, "d@beta.test": NO}
    await world.mail("b@beta.test", "c@beta.test", "d@beta.test")
    await world.until(lambda: len(world.sent.transactions) == 2)
    (hop, notice, octets) = world.sent.transactions[1]
    assert (hop, notice.return_path, str(notice.recipients[0])) == (
        "inbound",
        None,
        "alice@alpha.test",
    )
    assert b"d@beta.test" in octets
    assert b"c@beta.test" not in octets
    assert b"5.1.1" in octets
    world.sent.replies = {}
    world.clock.now += timedelta(minutes=2)
    await world.empty()
    assert world.sent.to()[-1:] == ["c@beta.test"]
    assert len(world.sent.transactions) == 3


async def test_world_of_retries(world: World) -> None:
    """A recipient that is busy for five days is tried the whole time, warned of once, returned once."""
    world.sent.replies = {"b@beta.test": LATER}
    item = await world.mail("b@beta.test")
    while found := Control(world.folder).show(item.id):
        tried = len(world.sent.to())
        world.clock.now = max(world.clock.now, found[0].due)
        await world.until(partial(world.is_tried, tried))
        await world.queue.flush()
    await world.empty()
    assert 100 < world.sent.to().count("b@beta.test") < 200
    actions = [b"Action: delayed" in octets for _, _, octets in world.notices()]
    assert actions == [True, False]
    assert b"4.4.7" in world.notices()[1][2]
    assert (
        START + Schedule().maximum_age <= world.clock.now <= START + Schedule().maximum_age * 1.01
    )


@pytest.mark.parametrize(
    ("sender", "notify", "told"),
    [
        ("alice@alpha.test", None, ["inbound"]),
        ("eve@elsewhere.test", None, ["outbound"]),
        ("alice@alpha.test", "NEVER", []),
        ("alice@alpha.test", "SUCCESS,DELAY", []),
        ("alice@alpha.test", "FAILURE", ["inbound"]),
        (None, None, []),
    ],
)
async def test_who_is_told(
    world: World, sender: str | None, notify: str | None, told: list[str]
) -> None:
    """Failures go where the author is, not to who asked for none, and never about a notice."""
    world.sent.replies = {"d@beta.test": NO}
    path = Mailbox.parse(sender) if sender else None
    wanted = Envelope(path, (Recipient(Mailbox.parse("d@beta.test"), notify),))
    await world.accept(NewItem("1M7AA", wanted, "outbound", Octets(MAIL)))
    await world.empty()
    assert [hop for hop, _, _ in world.sent.transactions] == ["outbound", *told]
    assert Name.DELIVERY_FAILED in world.names()


@pytest.mark.parametrize(
    ("notify", "reports", "is_final", "action"),
    [
        ("SUCCESS", False, False, b"relayed"),
        ("SUCCESS,FAILURE", False, True, b"delivered"),
        ("SUCCESS", True, False, b""),  # the hop tells
        ("FAILURE", False, False, b""),
        (None, False, True, b""),
    ],
)
async def test_success_is_told_where_nobody_behind_us_does(
    world: World, notify: str | None, reports: bool, is_final: bool, action: bytes
) -> None:
    """Who asked for a report of success waits for ever, or is told twice."""
    world.sent.reports, world.sent.is_final = reports, is_final
    bob = Recipient(Mailbox.parse("b@beta.test"), notify, "rfc822;B@beta.test")
    wanted = Envelope(Mailbox.parse("alice@alpha.test"), (bob,), ret="FULL", envid="QQ1")
    await world.accept(NewItem("1M7AA", wanted, "outbound", Octets(MAIL)))
    await world.empty()
    octets = b"".join(octets for _, _, octets in world.notices())
    assert len(world.notices()) == bool(action)
    assert (b"Action: " + action in octets) is bool(action)
    assert (b"Original-Envelope-Id: QQ1" in octets) is bool(action)
    assert MARKER[:16] not in octets


async def test_notice_that_fails(world: World) -> None:
    """A notice to an author that does not exist ends there: no bounce of a bounce."""
    world.sent.replies = {"d@beta.test": NO, "alice@alpha.test": NO}
    await world.mail("d@beta.test")
    await world.empty()
    assert world.sent.to() == ["d@beta.test", "alice@alpha.test"]


async def test_protected(world: World) -> None:
    """What we decrypted, or owe encryption, does not leave in a notice: no body, no subject."""
    world.sent.replies = {"d@beta.test": NO}
    wanted = replace(envelope("d@beta.test"), ret="FULL")
    await world.accept(NewItem("1M7AA", wanted, "outbound", Octets(MAIL), protected=True))
    await world.empty()
    ((_, _, octets),) = world.notices()
    assert b"Nightingale" not in octets
    assert MARKER[:16] not in octets
    assert b"Message-ID: <1@alpha.test>" in octets


async def test_strangers_hear_nothing_of_our_server(world: World) -> None:
    """Our own server's words about decrypted mail would tell its sender what was inside."""
    world.sent.replies = {"alice@alpha.test": Reply(550, "5.7.1", "Virus Eicar in report.doc")}
    path = Mailbox.parse("stranger@beta.test")
    wanted = Envelope(path, (Recipient(Mailbox.parse("alice@alpha.test")),))
    await world.accept(NewItem("1M7AA", wanted, "inbound", Octets(MAIL), protected=True))
    await world.empty()
    ((_, _, octets),) = world.notices()
    assert b"Eicar" not in octets
    assert b"5.7.1" in octets


async def test_hop_down(world: World) -> None:
    """A hop that is down is not asked once per mail, and everything arrives when it is back."""
    world.sent.down = {"outbound"}
    for n in range(50):
        await world.mail(f"b{n}@beta.test")
    await world.mail("alice@alpha.test", hop="inbound")
    await world.until(lambda: world.sent.to() == ["alice@alpha.test"], "another hop waits, too")
    await asyncio.sleep(0.1)
    assert world.sent.attempts <= 3 + 1
    for _ in range(20):
        world.clock.now += timedelta(minutes=1)
        await asyncio.sleep(0.03)
    assert world.sent.attempts <= 4 + 20
    world.sent.down = set()
    world.clock.now += timedelta(minutes=6)
    await world.until(lambda: len(world.sent.transactions) > 1)
    world.clock.now += timedelta(hours=1)
    await world.empty()
    assert sorted(world.sent.to()) == sorted(
        [f"b{n}@beta.test" for n in range(50)] + ["alice@alpha.test"]
    )


async def test_late_while_down(world: World) -> None:
    """During an outage every author hears of the delay and, in the end, of the failure."""
    world.sent.down = {"outbound"}
    for n in range(10):
        await world.mail(f"b{n}@beta.test")
    await world.until(lambda: world.sent.attempts >= 1)
    world.clock.now += timedelta(hours=4)
    await world.until(lambda: len(world.notices()) == 10)
    assert all(b"Action: delayed" in octets for _, _, octets in world.notices())
    world.clock.now += timedelta(days=5)
    await world.until(lambda: len(world.notices()) == 20)
    assert all(b"Action: failed" in octets for _, _, octets in world.notices()[10:])
    await world.empty()


async def test_expired_probe_does_not_open_the_lane(world: World) -> None:
    """A mail that gives up on a dead hop says nothing about the hop being back."""
    world.sent.down = {"outbound"}
    for n in range(30):
        await world.mail(f"b{n}@beta.test")
    await world.until(lambda: world.sent.attempts >= 1)
    world.clock.now += timedelta(days=6)
    await world.empty()
    assert world.sent.attempts <= 3 + 30 + 30  # notices go elsewhere
    assert len(world.notices()) == 30


def in_order(sent: list[str], accepted: list[str]) -> bool:
    """Each once, in order but for what overtakes on parallel connections."""
    return sorted(sent) == sorted(accepted) and all(
        abs(sent.index(one) - n) < 20 for n, one in enumerate(accepted)
    )


async def test_concurrency(world: World) -> None:
    """No more connections to a hop than it was promised."""
    gate = asyncio.Event()
    world.sent.gate = gate.wait
    for n in range(40):
        await world.mail(f"b{n}@beta.test")
    await world.until(lambda: world.sent.most == 3)
    gate.set()
    await world.empty()
    assert world.sent.most == 3
    assert in_order(world.sent.to(), [f"b{n}@beta.test" for n in range(40)])


async def test_restart(world: World) -> None:
    """What was under way when the service stopped goes out after the start, whole."""
    hanging = asyncio.Event()
    world.sent.gate = hanging.wait
    await world.mail("b@beta.test")
    await world.accept(
        NewItem("1M7BB", envelope("c@beta.test"), "outbound", Octets(MARKER * (IN_MEMORY // 30)))
    )
    await world.until(lambda: world.sent.attempts == 2)
    await world.restart()
    world.sent.gate = None
    await world.empty()
    assert sorted(world.sent.to()) == ["b@beta.test", "c@beta.test"]
    assert max(len(octets) for _, _, octets in world.sent.transactions) > IN_MEMORY


async def test_stop_finishes_what_is_under_way(world: World) -> None:
    """A stop in the middle of a transaction waits for its end, so nobody gets the mail twice."""
    world.sent.gate = lambda: asyncio.sleep(0.1)
    await world.mail("b@beta.test")
    await world.until(lambda: world.sent.attempts == 1)
    await world.delivery.stop()
    assert not world.queue.counts()
    await world.mail("c@beta.test")
    assert world.sent.attempts == 1


@pytest.mark.parametrize(
    "error", [Unavailable("no DNS"), ZeroDivisionError(), GatepostError("odd")]
)
async def test_relay_trouble(world: World, error: Exception) -> None:
    """An exception in the relay costs nobody their mail."""

    async def fail() -> None:
        raise error

    world.sent.gate = fail
    await world.mail("b@beta.test")
    await world.until(lambda: Name.DELIVERY_RETRY in world.names())
    await world.queue.flush()
    world.sent.gate = None
    world.clock.now += timedelta(minutes=2)
    await world.empty()
    assert world.sent.to() == ["b@beta.test"]


async def test_forgotten_recipient(world: World) -> None:
    """A recipient the relay says nothing about is tried again, not dropped."""

    class Forgetful(Sent):
        async def deliver(
            self, hop: NextHop, envelope: Envelope, content: Content
        ) -> tuple[Attempt, ...]:
            return (await super().deliver(hop, envelope, content))[:1]

    world.delivery._relay = Forgetful()
    await world.mail("b@beta.test", "c@beta.test")
    await world.until(lambda: Name.DELIVERY_RETRY in world.names())
    world.clock.now += timedelta(minutes=2)
    await world.empty()


async def test_damaged_body(world: World) -> None:
    """A damaged body is put aside, loudly, and nothing of it is sent."""
    world.sent.down = {"outbound"}
    await world.accept(NewItem("1M7BB", envelope(), "outbound", Octets(MARKER * (IN_MEMORY // 20))))
    await world.until(lambda: world.sent.attempts == 1)
    await world.queue.flush()
    (path,) = (world.folder / "0.bodies").iterdir()
    octets = bytearray(path.read_bytes())
    octets[-20] ^= 1
    path.write_bytes(octets)
    world.sent.down = set()
    world.clock.now += timedelta(hours=1)
    await world.until(lambda: Name.SERVICE_ERROR in world.names())
    await world.queue.flush()
    assert world.queue.counts() == {("corrupt", "outbound"): 1}
    assert not world.sent.transactions


async def test_administrator(world: World) -> None:
    """Hold, delete and retry by another process reach a running delivery within a second or so."""
    world.sent.down = {"outbound"}
    items = [await world.mail(f"b{n}@beta.test") for n in range(4)]
    await world.until(lambda: world.sent.attempts >= 1)
    await world.queue.flush()
    control = Control(world.folder, clock=world.clock)
    await asyncio.to_thread(control.hold, items[0].id)
    await asyncio.to_thread(control.delete, items[1].id)
    world.sent.down = set()
    await asyncio.to_thread(control.retry, "all")
    await world.until(lambda: len(world.sent.transactions) == 2)
    assert sorted(world.sent.to()) == ["b2@beta.test", "b3@beta.test"]
    await asyncio.to_thread(control.release, items[0].id)
    await world.empty()
    assert world.sent.to()[2:] == ["b0@beta.test"]


async def test_taken_while_it_waits(world: World) -> None:
    """A mail deleted while it waits its turn in memory is not sent."""
    hanging = asyncio.Event()
    world.sent.gate = hanging.wait
    items = [await world.mail(f"b{n}@beta.test") for n in range(6)]
    lane = world.delivery._lanes[items[4].hop]
    assert items[4].number in {item.number for item in lane.waiting()}
    await asyncio.to_thread(Control(world.folder).delete, items[4].id)
    await world.until(lambda: items[4].number not in {item.number for item in lane.waiting()})
    hanging.set()
    world.sent.gate = None
    await world.empty()
    assert sorted(world.sent.to()) == [f"b{n}@beta.test" for n in (0, 1, 2, 3, 5)]


async def test_held(world: World) -> None:
    """Mail that is to be held is not delivered, not even after a restart."""
    await world.accept(
        NewItem("1M7CC", envelope(), "inbound", Octets(MAIL), state="hold", reason="odd")
    )
    await world.restart()
    await asyncio.sleep(0.05)
    assert world.queue.counts() == {("hold", "inbound"): 1}
    assert not world.sent.attempts


async def test_notice_cannot_be_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk is full nobody who has the mail gets it again, and the failure is told later."""
    real = world.queue.accept

    refused = asyncio.Event()

    async def refuse(*_: object) -> tuple[Item, ...]:
        refused.set()
        raise Unavailable("disk full")

    world.sent.replies = {"d@beta.test": NO}
    stored = await world.queue.accept(
        [NewItem("1M7AA", envelope("b@beta.test", "d@beta.test"), "outbound", Octets(MAIL))]
    )
    monkeypatch.setattr(world.queue, "accept", refuse)
    world.delivery.submit(stored)
    await refused.wait()
    monkeypatch.setattr(world.queue, "accept", real)
    world.clock.now += timedelta(minutes=2)
    await world.empty()
    assert world.sent.to() == ["b@beta.test", "d@beta.test", "d@beta.test", "alice@alpha.test"]


async def test_not_stored_is_not_delivered(world: World) -> None:
    """Mail whose commit failed was refused with 451, so it must not go out either."""

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    world.queue._writer._commit = full  # type: ignore[method-assign,assignment] # the fault
    with pytest.raises(Unavailable):
        await world.mail("b@beta.test")
    del world.queue._writer._commit
    await asyncio.sleep(0.1)
    await world.restart()
    await asyncio.sleep(0.1)
    assert not world.sent.attempts
    assert not world.queue.counts()


async def test_more_than_memory_holds(world: World) -> None:
    """A burst beyond the memory's share waits on the disk and arrives, each once, in order."""
    hanging = asyncio.Event()
    world.sent.gate = hanging.wait
    first = await world.mail("first@beta.test")
    await world.until(lambda: world.sent.attempts == 1)
    lane = world.delivery._lanes[first.hop]
    lane.capacity = 20
    for n in range(100):
        await world.mail(f"b{n}@beta.test")
    assert len(lane.waiting()) <= 20
    world.sent.gate = None
    hanging.set()
    await world.empty()
    assert in_order(world.sent.to(), ["first@beta.test", *(f"b{n}@beta.test" for n in range(100))])


async def test_notice_cannot_be_made(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in making a notice never makes those who have the mail get it again."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Bouncer, "failure", fail)
    world.sent.replies = {"d@beta.test": NO}
    await world.mail("b@beta.test", "d@beta.test")
    await world.empty()
    assert world.sent.to() == ["b@beta.test", "d@beta.test"]


async def test_a_look_that_fails_half_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found for one hop before the next could not be read would wait for a restart."""
    await world.delivery.stop(timedelta(0))
    for hop in ("first", "second"):
        await world.queue.accept([NewItem(f"1M7{hop}", envelope(), hop, Octets(MAIL))])
    await asyncio.to_thread(world.queue.close)
    world.queue = Queue(world.folder, TestSeal(), clock=world.clock)
    look, calls = world.queue.due, 0

    def due(hop: str, now: datetime, limit: int) -> tuple[Item, ...]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Unavailable("the queue cannot be read: disk I/O error")
        return look(hop, now, limit)

    monkeypatch.setattr(world.queue, "due", due)
    world.delivery = world._delivery()
    await world.delivery.start()
    await world.empty()
    assert sorted(hop for hop, _, _ in world.sent.transactions) == ["first", "second"]


async def test_abandoned_mail_to_a_new_hop(world: World) -> None:
    """What was stored after its peer had gone would wait for an hour, or for a restart."""
    message = NewItem("1M7AA", envelope(), "new.test", Octets(MAIL))
    waiting = asyncio.create_task(world.queue.accept([message]))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await world.until(lambda: bool(world.sent.transactions))
    assert world.sent.to() == ["bob@beta.test"]


async def test_hops_take_turns(tmp_path: Path) -> None:
    """One company's newsletter to a slow domain delays every other mail."""
    world = World(tmp_path)
    world.total = 4
    world.delivery = world._delivery()
    await world.delivery.start()
    gate = asyncio.Event()
    world.sent.gate = gate.wait
    for _ in range(30):
        await world.mail("a@slow.test", hop="mx:slow.test")
    for number in range(10):
        await world.mail(f"a@d{number}.test", hop=f"mx:d{number}.test")
    await world.until(lambda: world.sent.attempts == 4)
    gate.set()
    await world.empty()
    assert world.sent.most == 4
    hops = [hop for hop, *_ in world.sent.transactions]
    others = [n for n, hop in enumerate(hops) if hop != "mx:slow.test"]
    assert max(others) < 25, "the ten others went between the thirty"
    await world.delivery.stop()
    await asyncio.to_thread(world.queue.close)


async def test_thousands_of_destinations(world: World) -> None:
    """A lane for every domain of the world stays in memory, or some domain is forgotten."""
    messages = [
        NewItem(f"Q{n}", envelope(f"a@d{n}.test"), f"mx:d{n}.test", Octets(MAIL))
        for n in range(600)
    ]
    world.sent.down = {f"mx:d{n}.test" for n in range(0, 600, 2)}
    await world.accept(*messages)
    await world.until(lambda: len(world.sent.to()) == 300)
    await world.until(lambda: len(world.delivery._lanes) <= 300, "lanes with nothing to do stay")
    await world.restart()
    world.sent.down.clear()
    world.clock.now += timedelta(minutes=30)
    await world.empty()
    assert len(set(world.sent.to())) == len(world.sent.to()) == 600
    await world.until(lambda: not world.delivery._lanes)


async def test_unsafe_for_one_mail_is_not_down(world: World) -> None:
    """A mail that may only go over a verified connection stops all mail to its domain."""
    unsafe = Reply(451, "4.7.10", "it offers no certificate of its own")
    world.sent.refusals = {"careful@beta.test": unsafe}
    await world.mail("careful@beta.test", hop="mx:beta.test")
    await world.until(lambda: Name.DELIVERY_RETRY in world.names())
    await world.mail("b@beta.test", hop="mx:beta.test")
    await world.until(lambda: world.sent.to() == ["b@beta.test"])
    for _ in range(120):
        world.clock.now += timedelta(hours=1)
        await asyncio.sleep(0.01)
    await world.empty()
    failed = [one for one in world.events if one.name == Name.DELIVERY_FAILED]
    assert [one.fields["dsn"] for one in failed] == ["5.7.10"]
