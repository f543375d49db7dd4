"""What one attempt means, and the ticker that comes back to what is left."""

import asyncio
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.store.box import START, envelope

from gatepost.engine.journal import Journal
from gatepost.engine.judgement import judge, unreached
from gatepost.engine.schedule import Ticker
from gatepost.events import Event, Name
from gatepost.flow.retry import Schedule
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.delivery import Attempt
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.store.queue_item import Item

ADDRESSES = [f"{name}@beta.test" for name in "abcdef"]
REPLIES = st.builds(
    Reply,
    st.integers(100, 999),
    st.sampled_from(["", "2.0.0", "4.2.1", "5.1.1"]),
    st.sampled_from(["ok", "no"]),
)


def item(addressed: Envelope) -> Item:
    last = (None,) * len(addressed.recipients)
    return Item(1, "A", "A", "outbound", addressed, Octets(b""), START, START, last)


@given(
    st.lists(st.sampled_from(ADDRESSES), min_size=1, unique=True),
    st.dictionaries(st.sampled_from(ADDRESSES), REPLIES),
    st.integers(0, 200),
    st.timedeltas(timedelta(0), timedelta(days=9)),
)
def test_nobody_lost_or_doubled(
    to: list[str], replies: dict[str, Reply], tries: int, age: timedelta
) -> None:
    """Whatever a relay answers, every recipient is delivered, deferred or failed, exactly once."""
    one = item(envelope(*to))
    attempts = [Attempt(Recipient(Mailbox.parse(a)), reply) for a, reply in replies.items()]
    now = START + age
    made = judge(one, attempts, tries=tries, now=now, schedule=Schedule())
    sorted_out = [a.recipient for a in (*made.delivered, *made.deferred, *made.failed)]
    assert sorted(map(str, sorted_out)) == sorted(to)
    assert all(a.reply.is_positive for a in made.delivered)
    if made.deferred:
        assert now < made.due <= START + Schedule().maximum_age


def test_unreached() -> None:
    """Only what says nothing about the mail itself counts against the hop."""
    (who,) = envelope().recipients
    down, busy = Reply(451, "4.4.1", "refused"), Reply(451, "4.2.1", "busy")
    leaving, unknown = Reply(421, "4.3.2", "shutting down"), Reply(550, "5.1.1", "unknown")
    assert unreached([Attempt(who, down)]) == down
    assert unreached([Attempt(who, leaving, "mx[192.0.2.1]:25")]) == leaving
    assert unreached([Attempt(who, busy, "mx[192.0.2.1]:25")]) is None
    assert unreached([Attempt(who, unknown)]) is None
    assert unreached([Attempt(who, down), Attempt(who, busy, "mx")]) is None


async def test_ticker_goes_on_after_a_failure() -> None:
    """One unreadable moment of the database does not end retries for good."""
    calls: list[datetime] = []
    enough = asyncio.Event()
    events: list[Event] = []
    journal = Journal(lambda: START)
    journal.observe(events.append)

    async def act() -> None:
        calls.append(START)
        if len(calls) == 1:
            raise ZeroDivisionError
        if len(calls) == 3:
            enough.set()

    ticker = Ticker("retries", 0.001, act, journal)
    ticker.start()
    await enough.wait()
    await ticker.stop()
    done = len(calls)
    await asyncio.sleep(0.01)
    assert len(calls) == done
    assert [event.name for event in events] == [Name.SERVICE_ERROR]


async def test_ticker_always_stops() -> None:
    """A stop in the very moment the ticker wakes is a stop, not a service that hangs."""

    async def act() -> None:
        await asyncio.sleep(0)

    for n in range(200):
        ticker = Ticker("retries", 0.0005, act, Journal(lambda: START))
        ticker.start()
        await asyncio.sleep(0.0005 + n / 1e6)
        async with asyncio.timeout(60):
            await ticker.stop()
