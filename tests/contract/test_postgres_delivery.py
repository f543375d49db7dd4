"""Delivery on the shared queue: what engine and queue promise each other holds there, too."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from tests.contract.conftest import Postgres
from tests.patience import PATIENCE, soon
from tests.unit.store.box import MARKER, new

from gatepost.engine.bounce import Bouncer
from gatepost.engine.delivery import Delivery, DeliverySettings
from gatepost.engine.journal import Journal
from gatepost.mail.content import Content, join
from gatepost.mail.delivery import Attempt, NextHop
from gatepost.mail.envelope import Envelope
from gatepost.mail.reply import Reply
from gatepost.store.contract import MailQueue
from gatepost.store.postgres_queue import PostgresQueue
from gatepost.store.queue_id import Identifier

SIZES = (100, 3_000_000)


class Hop:
    """A next hop that answers as told and counts."""

    def __init__(self) -> None:
        self.got: list[tuple[str, int]] = []
        self.reply = Reply(250, "2.0.0", "ok")
        self.refused = ""
        self.asked, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def deliver(
        self, hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        self.asked.set()
        await self.go_on.wait()
        octets = await asyncio.to_thread(join, content)
        (recipient,) = envelope.recipients
        reply = self.reply
        if str(recipient) == self.refused:
            reply = Reply(550, "5.1.1", "nobody here")
        if reply.code == 250:
            self.got.append((str(recipient), len(octets)))
        return (Attempt(recipient, reply),)


def _delivery(postgres: Postgres, queue: MailQueue, node: str, hop: Hop) -> Delivery:
    identify = Identifier(lambda n: node.encode() * n)
    return Delivery(
        queue,
        hop,
        lambda item: NextHop(item.hop),
        DeliverySettings(look_every=0.05, late_every=0.05),
        bouncer=Bouncer("gate.alpha.test", lambda _: "inbound", identify, lambda: "t"),
        journal=Journal(postgres.clock),
        clock=postgres.clock,
    )


@asynccontextmanager
async def delivering(postgres: Postgres, node: str, hop: Hop) -> AsyncIterator[MailQueue]:
    queue = postgres.open(node)
    delivery = _delivery(postgres, queue, node, hop)
    await delivery.start()
    try:
        yield queue
    finally:
        await delivery.stop()
        await postgres.shut(queue)


async def sleep(queue: PostgresQueue) -> None:
    """As after a pause: the clock has moved, nobody has renewed."""
    async with asyncio.timeout(PATIENCE):
        while not queue._node._pause:  # noqa: ASYNC110  its first look, in another thread, renews
            await asyncio.sleep(0.01)
    queue._node._until = 0.0


async def drained(queue: MailQueue) -> bool:
    """Whether everything left in time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        await queue.flush()
        if not await asyncio.to_thread(queue.counts):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_two_nodes_deliver_what_a_third_left(postgres: Postgres) -> None:
    """Mail accepted by a node that then stops leaves once, by whichever node is there."""
    third = postgres.open("c")
    await third.accept(
        [new(f"A{n}", bytes(SIZES[n % 5 == 0]), f"u{n}@beta.test") for n in range(40)]
    )
    await postgres.shut(third)
    first, second = Hop(), Hop()
    async with delivering(postgres, "a", first) as queue, delivering(postgres, "b", second):
        assert await drained(queue)
    got = [*first.got, *second.got]
    assert sorted(got) == sorted((f"u{n}@beta.test", SIZES[n % 5 == 0]) for n in range(40))


async def test_retry_and_notice(postgres: Postgres) -> None:
    """A deferred mail is tried again when due; a refused one becomes one notice, not two."""
    hop = Hop()
    hop.reply = Reply(451, "4.2.0", "later")
    third = postgres.open("c")
    await third.accept([new("A"), new("B", b"x", "carol@beta.test")])
    await postgres.shut(third)
    async with delivering(postgres, "a", hop):
        await soon(lambda: all(item.tries for item in postgres.control().list()))
        assert [item.tries for item in postgres.control().list()] == [1, 1]
        hop.refused = "bob@beta.test"
        hop.reply = Reply(250, "2.0.0", "ok")
    # The stop gave everything back: a new start finds it.
    postgres.clock.now += timedelta(hours=2)
    async with delivering(postgres, "b", hop) as queue:
        assert await drained(queue)
    assert sorted(to for to, _ in hop.got) == ["alice@alpha.test", "carol@beta.test"]
    names = [one.name for one in postgres.control().records("A")]
    assert names == ["delivery.retry", "delivery.failed"]


async def test_stopping_node_tells_the_others(postgres: Postgres) -> None:
    """Mail for a hop that only the stopping node knew does not wait for somebody to look by chance."""
    hop = Hop()
    third = postgres.open("c")
    async with delivering(postgres, "a", hop) as queue:
        await third.accept([new("A", b"x", hop="elsewhere")])
        await postgres.shut(third)
        assert await drained(queue)
    assert len(hop.got) == 1


async def test_sleeper_does_not_deliver(postgres: Postgres) -> None:
    """A node that was paused past its lease leaves its mail to whoever took it over."""
    hop, other = Hop(), Hop()
    postgres.lease = timedelta(seconds=60)
    queue = postgres.open("a")
    assert isinstance(queue, PostgresQueue)
    delivery = _delivery(postgres, queue, "a", hop)
    await delivery.start()
    items = await queue.accept([new("A")])
    await sleep(queue)
    delivery.submit(items)
    await asyncio.sleep(0.2)
    assert hop.got == []
    await delivery.stop()
    await postgres.shut(queue)
    async with delivering(postgres, "b", other) as queue:
        assert await drained(queue)
    assert [to for to, _ in other.got] == ["bob@beta.test"]


async def test_paused_in_the_middle(postgres: Postgres) -> None:
    """A node that was cut off amid a body must not end it: another one delivers the mail by now."""
    hop, other = Hop(), Hop()
    hop.go_on.clear()
    queue = postgres.open("a")
    assert isinstance(queue, PostgresQueue)
    delivery = _delivery(postgres, queue, "a", hop)
    await delivery.start()
    delivery.submit(await queue.accept([new("SMALL"), new("LARGE", bytes(SIZES[1]))]))
    async with asyncio.timeout(PATIENCE):
        await hop.asked.wait()
    await sleep(queue)
    hop.go_on.set()
    await delivery.stop()
    await postgres.shut(queue)
    assert hop.got == []
    postgres.clock.now += timedelta(hours=1)
    async with delivering(postgres, "b", other) as queue:
        assert await drained(queue)
    assert sorted(size for _, size in other.got) == [len(MARKER), SIZES[1]]
