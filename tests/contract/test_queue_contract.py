"""One suite for every queue engine: whatever it stands on, acknowledged means safe."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from tests.contract.conftest import Engine, Sqlite
from tests.patience import PATIENCE
from tests.unit.store.box import MARKER, START, envelope, new

from gatepost.errors import Unavailable
from gatepost.flow.retry import Schedule
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.store.contract import MailQueue
from gatepost.store.queue_change import Cause
from gatepost.store.queue_item import Done, Item, NewItem, Parked, Record, Retried
from gatepost.store.sealing import Corrupt

LARGE = MARKER * 70_000  # 3.6 MB: several rows, and not a whole number of them
EVER = timedelta(days=1)


def due(queue: MailQueue, hop: str = "outbound", limit: int = 100) -> tuple[Item, ...]:
    return queue.due(hop, START + EVER, limit)


async def test_accepted_is_there_after_restart(engine: Engine) -> None:
    """Whatever was acknowledged is found again: envelope, body, small, large and empty."""
    path = Envelope(
        Mailbox.parse("ålice@ålpha.test"),
        (
            Recipient(Mailbox.parse('"b @ b"@beta.test'), "SUCCESS,FAILURE", "rfc822;bob+40x"),
            Recipient(Mailbox.parse("carol@[192.0.2.1]")),
        ),
        "8BITMIME",
        smtputf8=True,
        secure=True,
        ret="HDRS",
        envid="QQ314159",
    )
    messages = [
        NewItem("1M7AA", path, "outbound", Octets(MARKER), protected=True),
        NewItem("1M7AA", envelope(sender=None), "outbound", Octets(LARGE)),
        NewItem("1M7AB", envelope(), "inbound", Octets(b"")),
        NewItem("1M7AC", envelope(), "inbound", Octets(bytes(2 * 1024 * 1024))),
    ]
    queue = engine.open()
    items = await queue.accept(messages)
    assert [item.id for item in items] == ["1M7AA", "1M7AA.2", "1M7AB", "1M7AC"]
    await engine.shut(queue)
    queue = engine.open()
    assert queue.recover().waiting == 4
    found = (*due(queue), *due(queue, "inbound"))
    for item, again, message in zip(items, found, messages, strict=True):
        assert replace(item, content=again.content) == again
        assert join(message.content) == join(again.content) == join(queue.opened(again).content)
    assert found[0].envelope == path
    assert {"outbound", "inbound"} == queue.hops()


async def test_hops_with_something_due(engine: Engine) -> None:
    """Thousands of hops whose mail is not due yet are asked for it every second."""
    queue = engine.open()
    names = [f"mx:d{n}.test" for n in range(20)]
    messages = [NewItem(f"Q{n}", envelope(), hop, Octets(b"")) for n, hop in enumerate(names)]
    items = await queue.accept([*messages, replace(messages[3], queue_id="R3")])
    later = START + timedelta(hours=1)
    queue.settle(*(Retried(replace(item, due=later)) for item in items[:18]))
    queue.settle(Done(items[18]))
    queue.release(items[19:])
    await queue.flush()
    assert queue.hops(START) == {names[19], names[3]}
    assert queue.hops(later) == queue.hops() == set(names) - {names[18]}


async def test_nothing_readable_on_the_disk(engine: Engine) -> None:
    """Whoever copies the engine's files reads no mail, neither waiting nor deleted."""
    queue = engine.open()
    items = await queue.accept([new("A", MARKER * 100), new("B", LARGE), new("C")])
    queue.settle(Done(items[2]))
    await queue.flush()
    octets = engine.raw()
    assert len(octets) > len(LARGE)
    assert b"Quarterly" not in octets


async def test_commit_error_is_final(engine: Engine) -> None:
    """When the disk fails, every waiting peer hears 451, nothing is stored, and it goes on after."""
    broken = threading.Event()
    engine.break_commits(broken)
    queue = engine.open()
    await queue.accept([new("A")])
    broken.set()
    outcomes = await asyncio.gather(
        *(queue.accept([new(f"B{n}", LARGE if n == 3 else b"x")]) for n in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Unavailable) for one in outcomes) == 5
    broken.clear()
    await queue.accept([new("C")])
    await engine.shut(queue)
    queue = engine.open()
    assert [item.id for item in due(queue)] == ["A", "C"]


async def test_settlement_survives_a_failed_commit(engine: Engine) -> None:
    """A delivered mail is not delivered again because the database was gone for a moment."""
    broken = threading.Event()
    engine.break_commits(broken)
    queue = engine.open()
    items = await queue.accept([new("A"), new("B")])
    broken.set()
    queue.settle(Done(items[0]))
    with pytest.raises(Unavailable):
        await queue.flush()
    broken.clear()
    await queue.flush()
    assert queue.counts() == {("active", "outbound"): 1}


async def test_all_or_nothing(engine: Engine) -> None:
    """One copy of a message is never stored without the others, its notice or its record."""
    queue = engine.open()
    (item,) = await queue.accept([new("A")])
    with pytest.raises(Unavailable):  # an id that is there already
        await queue.accept([new("B"), new("A")], [Record("B", START, "x", "{}")], [Done(item)])
    assert queue.counts() == {("active", "outbound"): 1}
    assert engine.control().records("B") == ()
    await queue.accept([new("C", hop="inbound")], (), [Done(item)])
    assert queue.counts() == {("active", "inbound"): 1}


async def test_one_bad_item_does_not_harm_others(engine: Engine) -> None:
    """One client's trouble must not become the trouble of everybody in the same commit."""
    queue = engine.open()
    await queue.accept([new("A")])
    outcomes = await asyncio.gather(
        *(queue.accept([new("A" if n == 7 else f"B{n}")]) for n in range(20)),
        return_exceptions=True,
    )
    assert [n for n, one in enumerate(outcomes) if isinstance(one, BaseException)] == [7]
    assert queue.counts() == {("active", "outbound"): 20}


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_short_content(engine: Engine, size: int) -> None:
    """Content that came out shorter than announced is a failed encryption, never a mail."""

    class Short:
        def __init__(self) -> None:
            self.size = size

        def chunks(self) -> Iterator[bytes]:
            yield b"four"

    queue = engine.open()
    with pytest.raises(Unavailable):
        await queue.accept([new("A", Short())])
    assert not queue.counts()
    await queue.accept([new("A")])


async def test_leased_is_not_due(engine: Engine) -> None:
    """What somebody is delivering is not delivered a second time beside him."""
    queue = engine.open()
    items = await queue.accept([new("A"), new("B")])
    assert due(queue) == ()
    queue.release(items[:1])
    assert [item.id for item in due(queue)] == ["A"]
    assert due(queue) == ()
    queue.settle(Done(items[0]))
    await queue.flush()
    queue.release(items)
    assert [item.id for item in due(queue)] == ["B"]


async def test_retry_keeps_what_is_left(engine: Engine) -> None:
    """Only who has not got the mail gets it again, when it is time, with his last reply known."""
    queue = engine.open()
    (item,) = await queue.accept([new("A", MARKER, "b@beta.test", "c@beta.test")])
    left = item.still({item.envelope.recipients[1]: Reply(451, "4.2.0", "full\nlater")})
    later = START + timedelta(hours=1)
    queue.settle(Retried(replace(left, due=later, tries=1, warned=True)))
    await queue.flush()
    assert queue.due("outbound", later - timedelta(seconds=1), 10) == ()
    (again,) = queue.due("outbound", later, 10)
    assert [str(one) for one in again.envelope.recipients] == ["c@beta.test"]
    assert (Reply(451, "4.2.0", "full\nlater"),) == again.last
    assert (again.tries, again.warned, again.created) == (1, True, START)
    assert join(again.content) == MARKER


async def test_oldest_due_first(engine: Engine) -> None:
    """Old mail is not overtaken for ever by newer mail, and a limit is a limit."""
    queue = engine.open()
    items = await queue.accept([new(f"A{n}") for n in range(6)])
    order = [3, 0, 5, 1, 4, 2]
    for place, n in enumerate(order):
        queue.settle(Retried(replace(items[n], due=START + timedelta(minutes=place))))
    await queue.flush()
    first = due(queue, limit=4)
    assert [item.id for item in first] == ["A3", "A0", "A5", "A1"]
    assert [item.id for item in due(queue)] == ["A4", "A2"]


async def test_late(engine: Engine) -> None:
    """While a hop is down its expired and newly delayed mail is found, and only that."""
    schedule = Schedule()
    queue = engine.open()
    old = await queue.accept([new("OLD")])
    engine.clock.now += schedule.maximum_age - timedelta(hours=5)
    warned = await queue.accept([new("WARNED")])
    unwarned = await queue.accept([new("UNWARNED")])
    engine.clock.now += timedelta(hours=5)
    fresh = await queue.accept([new("FRESH")])
    queue.settle(Retried(replace(warned[0], warned=True)), Retried(replace(old[0], warned=True)))
    queue.release((*unwarned, *fresh))
    await queue.flush()
    found = queue.late("outbound", engine.clock.now, schedule, 10)
    assert sorted(item.id for item in found) == ["OLD", "UNWARNED"]


async def test_hold_and_release(engine: Engine) -> None:
    """Held mail waits for a person, however long, and goes on when he says so."""
    heard = threading.Event()
    queue, control = engine.open(), engine.control()
    queue.changed = heard.set
    items = await queue.accept([new("A"), new("A"), replace(new("B"), state="hold", reason="odd")])
    before = queue.nudges()
    assert [item.id for item in control.hold("A.2")] == ["A.2"]
    assert await asyncio.to_thread(heard.wait, PATIENCE)
    assert queue.nudges() > before
    assert {items[1].number, items[2].number} == queue.gone(items)
    queue.release(items)
    assert [item.id for item in due(queue)] == ["A"]
    assert [(item.id, item.state, item.reason) for item in control.list()] == [
        ("A", "active", ""),
        ("A.2", "hold", "held by the administrator"),
        ("B", "hold", "odd"),
    ]
    assert [item.id for item in control.release("all")] == ["A.2", "B"]
    assert [item.id for item in due(queue)] == ["A.2", "B"]
    assert () == control.release("A.2") == control.hold("Z") == control.delete("Z")


async def test_waiting_for_a_key(engine: Engine) -> None:
    """Mail without certificate leaves in clear, or is never looked at again."""
    queue, control = engine.open(), engine.control()
    message = replace(new("A", MARKER, "bob@beta.test", "carol@beta.test"), undecided=True)
    items = await queue.accept([replace(message, state="waiting"), new("B")])
    assert queue.waiting(START, 10) == ()
    queue.release(items)
    await queue.flush()
    assert [item.id for item in due(queue)] == ["B"]
    (found,) = queue.waiting(START, 10)
    assert found.undecided
    assert join(queue.opened(found).content) == MARKER
    assert queue.waiting(START, 10) == ()
    bob = found.envelope.recipients[0]
    left = found.still({bob: Reply(451, "4.7.1", "no certificate")})
    queue.settle(Retried(replace(left, due=START + timedelta(hours=1))))
    await queue.flush()
    assert queue.waiting(START, 10) == ()
    (found,) = queue.waiting(START + timedelta(hours=1), 10)
    assert (found.envelope.recipients, found.state) == ((bob,), "waiting")
    queue.release((found,))
    assert queue.counts()["waiting", "outbound"] == 1
    assert queue.hops() == {"outbound"}
    await queue.flush()
    assert control.release("A") == ()
    assert [item.id for item in control.retry("A")] == ["A"]
    await queue.flush()
    assert len(queue.waiting(START, 10)) == 1


async def test_undecided_mail_never_becomes_active(engine: Engine) -> None:
    """Held and released again, clear text that must be encrypted leaves."""
    queue, control = engine.open(), engine.control()
    message = replace(new("A"), undecided=True, state="waiting")
    queue.release(await queue.accept([message]))
    await queue.flush()
    for keep in (control.hold, partial(control.quarantine, cause=Cause("odd"))):
        assert [item.id for item in keep("A")] == ["A"]
        assert queue.waiting(START, 10) == ()
        assert [item.state for item in control.release("A")] != []
        assert [item.state for item in control.show("A")] == ["waiting"]
    assert due(queue) == ()


async def test_quarantine(engine: Engine) -> None:
    """Quarantined mail goes with the crowd, and nobody knows who let it."""
    queue, control = engine.open(), engine.control()
    await queue.accept([new("A"), replace(new("B"), state="quarantine", reason="forged")])
    cause = Cause("the author called", "root")
    assert [one.id for one in control.quarantine("A", cause)] == ["A"]
    assert () == control.release("all", cause) == control.delete("all", cause)
    assert [one.id for one in control.release("B", cause)] == ["B"]
    assert [one.id for one in control.delete("A", cause)] == ["A"]
    assert [(one.id, one.state) for one in control.list()] == [("B", "active")]
    (record,) = control.records("B")
    assert json.loads(record.data) == {
        "id": "B", "verb": "release", "was": "quarantine", "reason": "the author called", "by": "root"
    }  # fmt: skip
    assert [json.loads(one.data)["verb"] for one in control.records("A")] == [
        "quarantine",
        "delete",
    ]


@pytest.mark.parametrize("content", [MARKER, LARGE], ids=["row", "file"])
@pytest.mark.parametrize(
    ("column", "old", "new_"),
    [
        ("recipients", "bob@beta.test", "eve@evil.test"),
        ("hop", "outbound", "inbound"),
        ("return_path", "alice@alpha.test", "eve@evil.test"),
        ("protected", "true", "false"),
        ("options", '"undecided":true', '"undecided":false'),
        ("options", "requiretls", "requirenot"),
        ("options", '"to":', '"tq":'),
        ("id", "A", "Z"),
    ],
)
async def test_nobody_redirects_what_is_sealed(
    engine: Engine, content: bytes, column: str, old: str, new_: str
) -> None:
    """Who can write the database, but has no key, sends sealed mail to himself, or in clear."""
    path = replace(envelope("bob@beta.test", "carol@beta.test"), requiretls=True)
    queue = engine.open()
    message = NewItem("A", path, "outbound", Octets(content), protected=True, undecided=True)
    queue.release(await queue.accept([message]))
    await queue.flush()
    if column == "protected" and isinstance(engine, Sqlite):
        old, new_ = "1", "0"
    engine.rewrite("A", column, old, new_)
    found = (*due(queue), *due(queue, "inbound"))
    for item in found:
        with pytest.raises(Corrupt):
            queue.opened(item)
    if not found:  # the row was called corrupt before anybody saw it
        await queue.flush()
        assert [one.state for one in engine.control().list()] == ["corrupt"]


async def test_delete_and_retry(engine: Engine) -> None:
    """What the administrator deletes is gone for everybody; what he retries is due now."""
    queue, control = engine.open(), engine.control()
    items = await queue.accept([new("A", LARGE), new("B")])
    queue.settle(*(Retried(replace(item, due=START + 9 * EVER)) for item in items))
    await queue.flush()
    assert due(queue) == ()
    assert [item.id for item in control.delete("A")] == ["A"]
    assert [item.id for item in control.retry("all")] == ["B"]
    assert [item.id for item in due(queue)] == ["B"]
    assert {items[0].number} == queue.gone(items)
    (shown,) = control.show("B")
    assert shown.content.size == len(MARKER)
    with pytest.raises(Corrupt, match="sealed"):
        join(shown.content)


async def test_corrupt_body(engine: Engine) -> None:
    """A body that was changed in the store is noticed before a next hop hears of it."""
    queue = engine.open()
    items = await queue.accept([new("A"), new("B", LARGE), new("C")])
    queue.release(items)
    await queue.flush()
    engine.damage("A")
    engine.damage("B")
    small, large, whole = due(queue)
    for item in (small, large):
        with pytest.raises(Corrupt):
            queue.opened(item)
    assert join(queue.opened(whole).content) == MARKER
    queue.settle(Parked(small, "corrupt", "does not unseal"))
    await queue.flush()
    assert engine.control().show("A")[0].reason == "does not unseal"
    assert queue.counts()["corrupt", "outbound"] == 1


async def test_records(engine: Engine) -> None:
    """The trace of a message is stored with it, in order, and forgotten in time."""
    queue = engine.open()
    await queue.accept([new("A")], [Record("A", START, "message.decided", '{"rule":"ä"}')])
    queue.settle(records=[Record("A", START + EVER, "delivery.done", "{}")] * 1500)
    await queue.flush()
    found = engine.control().records("A")
    assert found[0] == Record("A", START, "message.decided", '{"rule":"ä"}')
    assert len(found) == 1501
    engine.clock.now += timedelta(days=30)
    assert await queue.prune(timedelta(days=29, hours=12)) == 1
    assert await queue.prune(timedelta(days=1)) == 1500
    assert await queue.prune(timedelta(days=1)) == 0


async def test_nobody_waits_any_more(engine: Engine) -> None:
    """A session that goes away while its mail is stored does not keep it from being delivered."""
    queue = engine.open()
    waiting = [asyncio.create_task(queue.accept([new(f"A{n}", LARGE)])) for n in range(3)]
    await asyncio.sleep(0.01)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await queue.accept([new("B", LARGE)])
    await queue.flush()
    stored = queue.counts()["active", "outbound"]
    leased = 1 + sum(not task.cancelled() for task in waiting)  # whoever was quicker has its item
    assert len(due(queue)) == stored - leased


async def test_closed(engine: Engine) -> None:
    """During shutdown a late mail is refused with 451, not swallowed."""
    queue = engine.open()
    await engine.shut(queue)
    with pytest.raises(Unavailable, match="closed"):
        await queue.accept([new("A")])
    queue.release(())


async def test_room(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer hears 452 before it sends its mail, not after."""
    queue = engine.open()
    assert queue.has_room()
    found = os.statvfs("/")
    left = 64 * 1024 * 1024 // found.f_frsize - 1
    full = os.statvfs_result((*found[:4], left, *found[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert not queue.has_room()
    monkeypatch.undo()
    assert queue.has_room()
