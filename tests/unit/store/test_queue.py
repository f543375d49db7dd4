"""The durable queue: acknowledged means safe, and nothing on the disk is readable."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE, soon
from tests.unit.store.box import MARKER, START, Clock, TestSeal, envelope, new, raw

from gatepost.errors import ConfigError, KeyUnavailable, Unavailable
from gatepost.flow.retry import Schedule
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.store import queue_database, writer
from gatepost.store.queue import Queue
from gatepost.store.queue_item import Done, Item, NewItem, Parked, Record, Retried
from gatepost.store.sealing import Corrupt
from gatepost.store.spool import IN_MEMORY, SealedBody, Spool
from gatepost.store.worker_queue import Recovered

LARGE = MARKER * (IN_MEMORY // len(MARKER) + 100)
EVER = timedelta(days=1)


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Queue]:
    queue = Queue(folder, TestSeal(), clock=options.pop("clock", Clock()), **options)
    try:
        yield queue
    finally:
        await asyncio.to_thread(queue.close)


def due(queue: Queue, hop: str = "outbound", limit: int = 100) -> tuple[Item, ...]:
    return queue.due(hop, START + EVER, limit)


class Failing(sqlite3.Connection):
    """A connection that fails where a test says."""

    fails: Callable[[str], Exception | None]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        error = self.fails(sql)
        if error is not None:
            raise error
        return super().execute(sql, parameters)


def failing(fails: Callable[[str], Exception | None]) -> Callable[[Path], sqlite3.Connection]:
    kind = type("Scripted", (Failing,), {"fails": staticmethod(fails)})

    def connect(path: Path) -> sqlite3.Connection:
        connection: sqlite3.Connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=kind
        )
        connection.execute("PRAGMA journal_mode = WAL")
        return connection

    return connect


async def test_accepted_is_there_after_restart(tmp_path: Path) -> None:
    """Whatever was acknowledged is found again: envelope, body, small and large."""
    path = Envelope(
        Mailbox.parse("ålice@ålpha.test"),
        (
            Recipient(Mailbox.parse('"b @ b"@beta.test'), "SUCCESS,FAILURE", "rfc822;bob+40x"),
            Recipient(Mailbox.parse("carol@[192.0.2.1]")),
        ),
        "8BITMIME",
        smtputf8=True,
        ret="HDRS",
        envid="QQ314159",
    )
    messages = [
        NewItem("1M7AA", path, "outbound", Octets(MARKER), protected=True),
        NewItem("1M7AA", envelope(sender=None), "outbound", Octets(LARGE)),
        NewItem("1M7AB", envelope(), "inbound", Octets(b"")),
    ]
    async with opened(tmp_path) as queue:
        items = await queue.accept(messages)
        assert [item.id for item in items] == ["1M7AA", "1M7AA.2", "1M7AB"]
    async with opened(tmp_path) as queue:
        assert Recovered(3, 0, 0) == queue.recover()
        found = (*due(queue), *due(queue, "inbound"))
        for item, again, message in zip(items, found, messages, strict=True):
            assert replace(item, content=again.content) == again
            assert join(message.content) == join(again.content) == join(queue.opened(again).content)
        assert found[0].envelope == path
        assert isinstance(found[1].content, SealedBody)


async def test_nothing_readable_on_the_disk(tmp_path: Path) -> None:
    """Whoever copies the queue's files reads no mail, neither waiting nor deleted."""
    async with opened(tmp_path) as queue:
        items = await queue.accept([new("A", MARKER * 100), new("B", LARGE), new("C", MARKER)])
        queue.settle(Done(items[2]))
        await queue.flush()
    octets = raw(tmp_path)
    assert len(octets) > len(LARGE)
    assert MARKER[:16] not in octets
    assert b"Quarterly" not in octets


async def test_modes(tmp_path: Path) -> None:
    """Other users of the machine cannot open the queue's files."""
    async with opened(tmp_path / "queue") as queue:
        await queue.accept([new("A", LARGE)])
        paths = [path for path in (tmp_path / "queue").rglob("*") if path.is_file()]
        assert len(paths) >= 4
        assert {0o600} == {path.stat().st_mode & 0o777 for path in paths}


@pytest.mark.parametrize("text", ["disk I/O error", "database or disk is full"])
async def test_commit_error_is_final(tmp_path: Path, text: str) -> None:
    """When the disk fails, every waiting peer hears 451, nothing is stored, and it goes on after."""
    broken = threading.Event()

    def fails(sql: str) -> Exception | None:
        if sql == "COMMIT" and broken.is_set():
            return sqlite3.OperationalError(text)
        return None

    async with opened(tmp_path, connect=failing(fails)) as queue:
        await queue.accept([new("A")])
        broken.set()
        outcomes = await asyncio.gather(
            *(queue.accept([new(f"B{n}", LARGE if n == 3 else b"x")]) for n in range(5)),
            return_exceptions=True,
        )
        assert sum(isinstance(one, Unavailable) for one in outcomes) == 5
        assert text in str(outcomes[0])
        assert not queue.spool.names()
        broken.clear()
        await queue.accept([new("C")])
        queue.release(due(queue))
    async with opened(tmp_path) as queue:
        assert [item.id for item in due(queue)] == ["A", "C"]


async def test_settlement_survives_a_failed_commit(tmp_path: Path) -> None:
    """A delivered mail is not delivered again because the disk was full for a moment."""
    broken = threading.Event()

    def fails(sql: str) -> Exception | None:
        if sql == "COMMIT" and broken.is_set():
            return sqlite3.OperationalError("database or disk is full")
        return None

    async with opened(tmp_path, connect=failing(fails)) as queue:
        items = await queue.accept([new("A"), new("B")])
        broken.set()
        queue.settle(Done(items[0]))
        with pytest.raises(Unavailable):
            await queue.flush()
        assert not due(queue), "what is owed stays leased"
        broken.clear()
        await queue.flush()
        queue.release(items[1:])
        assert [item.id for item in due(queue)] == ["B"]


async def test_one_bad_item_does_not_hurt_others(tmp_path: Path) -> None:
    """A queue id that exists already is refused alone, not with everybody else's mail."""
    async with opened(tmp_path) as queue:
        await queue.accept([new("A")])
        outcomes = await asyncio.gather(
            *(queue.accept([new(name)]) for name in ("B", "A", "C")), return_exceptions=True
        )
        assert [isinstance(one, Unavailable) for one in outcomes] == [False, True, False]
        assert queue.counts() == {("active", "outbound"): 3}


async def test_all_or_nothing(tmp_path: Path) -> None:
    """A mail for two next hops is never queued for one of them only."""
    async with opened(tmp_path) as queue:
        await queue.accept([new("A")])
        with pytest.raises(Unavailable):
            await queue.accept([new("B", LARGE), new("A")], [Record("B", START, "x", "{}")])
        assert queue.counts() == {("active", "outbound"): 1}
        assert not queue.spool.names()


async def test_locked_vault(tmp_path: Path) -> None:
    """Without the key nothing is accepted: there would be clear text, or nothing to read."""

    class Locked(TestSeal):
        def seal(self, data: bytes, aad: bytes, /) -> bytes:
            raise KeyUnavailable

    queue = Queue(tmp_path, Locked())
    for body in (b"small", LARGE):
        with pytest.raises(KeyUnavailable):
            await queue.accept([new("A", body)])
    assert not queue.counts()
    assert not list(queue.spool.folder.iterdir())
    queue.close()


async def test_leases(tmp_path: Path) -> None:
    """What one task delivers is not given to another; what is given back, is."""
    async with opened(tmp_path) as queue:
        items = await queue.accept([new(f"A{n}") for n in range(5)])
        assert due(queue) == ()
        queue.release(items[1:4])
        assert [item.id for item in due(queue, limit=2)] == ["A1", "A2"]
        assert [item.id for item in due(queue)] == ["A3"]
        assert due(queue) == ()
        assert due(queue, "inbound") == ()


async def test_abandoned_accept_is_delivered(tmp_path: Path) -> None:
    """A peer that hangs up while we write may think it sent: the mail is found due, not leaked."""
    async with opened(tmp_path) as queue:
        task = asyncio.create_task(queue.accept([new("A")]))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await queue.flush()
        assert [item.id for item in due(queue)] == ["A"]


async def test_retry(tmp_path: Path) -> None:
    """Who has the mail does not get it again; who has not, does, and not before its time."""
    async with opened(tmp_path) as queue:
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


async def test_settled_and_accepted_together(tmp_path: Path) -> None:
    """A failed recipient goes exactly when its notification is there, or both stay."""
    async with opened(tmp_path) as queue:
        (item,) = await queue.accept([new("A")])
        with pytest.raises(Unavailable):
            await queue.accept([new("A")], (), [Done(item)])
        assert queue.counts() == {("active", "outbound"): 1}
        await queue.accept([new("B", hop="inbound")], (), [Done(item)])
        assert queue.counts() == {("active", "inbound"): 1}


async def test_done_removes_the_body(tmp_path: Path) -> None:
    """Delivered mail leaves nothing behind."""
    async with opened(tmp_path) as queue:
        items = await queue.accept([new("A", LARGE), new("B", LARGE)])
        queue.settle(Done(items[0]), Parked(items[1], "hold", "odd"))
        await queue.flush()
        assert {items[1].path} == queue.spool.names()
        assert queue.counts() == {("hold", "outbound"): 1}


async def test_recover(tmp_path: Path) -> None:
    """After a crash: bodies without a row go, rows without a body are put aside, loudly."""
    async with opened(tmp_path) as queue:
        items = await queue.accept([new("A", LARGE), new("B", LARGE), new("C")])
    bodies = tmp_path / "0.bodies"
    assert items[0].path is not None
    (bodies / items[0].path).unlink()
    (bodies / "0123456789abcdef.body").write_bytes(b"no row")
    (bodies / "unfinished-0123.body").write_bytes(b"half")
    async with opened(tmp_path) as queue:
        assert Recovered(waiting=2, corrupt=1, swept=2) == queue.recover()
        await queue.flush()
        assert [item.id for item in due(queue)] == ["B", "C"]
        assert queue.counts() == {("active", "outbound"): 2, ("corrupt", "outbound"): 1}
        assert {items[1].path} == queue.spool.names()
        assert Recovered(waiting=2, corrupt=0, swept=0) == queue.recover()


async def test_damaged_row(tmp_path: Path) -> None:
    """A body that was changed in the database is noticed before a next hop hears of it."""
    async with opened(tmp_path) as queue:
        await queue.accept([new("A"), new("B")])
    connection = sqlite3.connect(tmp_path / "0.db")
    ((body,),) = connection.execute("SELECT body FROM item WHERE id = 'B'")
    connection.execute(
        "UPDATE item SET body = ? WHERE id = 'A'", (body,)
    )  # B's mail for A's people
    connection.execute("UPDATE item SET body = NULL WHERE id = 'B'")
    connection.commit()
    connection.close()
    async with opened(tmp_path) as queue:
        items = due(queue)
        assert len(items) == 2
        for item in items:
            with pytest.raises(Corrupt):
                queue.opened(item)


async def test_late(tmp_path: Path) -> None:
    """While a hop is down its expired and newly delayed mail is found, and only that."""
    clock = Clock()
    schedule = Schedule()
    async with opened(tmp_path, clock=clock) as queue:
        old = await queue.accept([new("OLD")])
        clock.now += schedule.maximum_age - timedelta(hours=5)
        warned = await queue.accept([new("WARNED")])
        unwarned = await queue.accept([new("UNWARNED")])
        clock.now += timedelta(hours=5)
        fresh = await queue.accept([new("FRESH")])
        queue.settle(
            Retried(replace(warned[0], warned=True)), Retried(replace(old[0], warned=True))
        )
        await queue.flush()
        queue.release((*unwarned, *fresh))
        found = queue.late("outbound", clock.now, schedule, 10)
        assert [item.id for item in found] == ["OLD", "UNWARNED"]
        queue.release(found)
        silent = replace(schedule, warn_after=timedelta(0))
        assert [item.id for item in queue.late("outbound", clock.now, silent, 10)] == ["OLD"]


async def test_records(tmp_path: Path) -> None:
    """The trace of a message is stored with it, and forgotten in time."""
    clock = Clock()
    async with opened(tmp_path, clock=clock) as queue:
        text = json.dumps({"rule": "partner"})
        await queue.accept([new("A")], [Record("A", START, "message.decided", text)])
        queue.settle(records=[Record("A", START + EVER, "delivery.done", "{}")] * 1500)
        await queue.flush()
        clock.now += timedelta(days=30)
        assert await queue.prune(timedelta(days=29, hours=12)) == 1
        assert await queue.prune(timedelta(days=1)) == 1500
        assert await queue.prune(timedelta(days=1)) == 0


async def test_second_process_is_refused(tmp_path: Path) -> None:
    """Two services on one queue would deliver everything twice."""
    async with opened(tmp_path):
        with pytest.raises(ConfigError, match="another Gatepost") as found:
            Queue(tmp_path, TestSeal())
        assert f"fuser {tmp_path / '0.lock'}" in str(found.value.fields["hint"])
        async with opened(tmp_path, name="1") as other:
            await other.accept([new("A")])
    async with opened(tmp_path) as queue:
        assert not queue.counts()


async def test_schema(tmp_path: Path) -> None:
    """A file from a newer version is left alone with a clear word, not misread."""
    async with opened(tmp_path):
        pass
    connection = sqlite3.connect(tmp_path / "0.db")
    known = len(queue_database.MIGRATIONS)
    assert (known,) == connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {known + 1}")
    connection.close()
    with pytest.raises(ConfigError, match=f"schema {known + 1}, this Gatepost knows {known}"):
        Queue(tmp_path, TestSeal())


async def test_a_queue_of_an_older_version(tmp_path: Path) -> None:
    """After an upgrade, mail accepted before it cannot be opened."""
    seal, large = TestSeal(), b"x" * (IN_MEMORY + 1)
    connection = queue_database.connect(tmp_path / "0.db")
    for statement in queue_database.MIGRATIONS[0]:
        connection.execute(statement)
    connection.execute("PRAGMA user_version = 1")
    name, _ = Spool(tmp_path / "0.bodies", seal).persist(Octets(large))
    for number, id_, body, path, size in (
        (1, "OLD", seal.seal(MARKER, b"queue\0OLD"), None, len(MARKER)),
        (2, "OLD.2", None, name, len(large)),
    ):
        who = '[["bob@beta.test",null,null,null]]'
        row = (number, id_, "OLD", "outbound", "active", "", 0, 0, 0, 0, 0, None, who, "{}", size)
        connection.execute(queue_database.INSERT_ITEM, (*row, path, body))
    connection.close()
    async with opened(tmp_path) as queue:
        found = queue.due("outbound", START, 10)
        assert [join(queue.opened(one).content) for one in found] == [MARKER, large]
        assert await queue.accept([new("NEW")])


async def test_full_synchronous(tmp_path: Path) -> None:
    """With anything less than FULL an acknowledged mail is lost when the power goes."""
    connection = queue_database.connect(tmp_path / "x.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    connection.close()


async def test_not_a_database(tmp_path: Path) -> None:
    """A destroyed file is a clear refusal to start, not a queue that seems empty."""
    (tmp_path / "0.db").write_bytes(b"something else" * 1000)
    with pytest.raises(Unavailable, match="cannot be opened"):
        Queue(tmp_path, TestSeal())
    assert (tmp_path / "0.db").read_bytes().startswith(b"something else")


async def test_closed(tmp_path: Path) -> None:
    """During shutdown a late mail is refused with 451, not swallowed."""
    queue = Queue(tmp_path, TestSeal())
    await asyncio.to_thread(queue.close)
    with pytest.raises(Unavailable, match="closed"):
        await queue.accept([new("A", LARGE)])
    assert not queue.spool.names()


async def test_group_commit(tmp_path: Path) -> None:
    """A hundred mails at once share a few fsyncs; one each would be 200 mails a second on a disk."""
    commits: list[str] = []
    may_go_on = threading.Event()
    may_go_on.set()

    def fails(sql: str) -> Exception | None:
        if sql == "COMMIT":
            commits.append(sql)
            may_go_on.wait(PATIENCE)
        return None

    async with opened(tmp_path, connect=failing(fails)) as queue:
        commits.clear()
        may_go_on.clear()  # as slow as a disk
        waiting = [asyncio.create_task(queue.accept([new(f"A{n}")])) for n in range(100)]
        for _ in range(10):
            await asyncio.sleep(0)
        may_go_on.set()
        await asyncio.gather(*waiting)
        assert queue.counts() == {("active", "outbound"): 100}
        assert len(commits) < 10


async def test_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    """The write-ahead log is moved into the database when nobody waits."""
    async with opened(tmp_path) as queue:
        await queue.accept([new(f"A{n}", bytes(100_000)) for n in range(20)])
        main = tmp_path / "0.db"
        await soon(lambda: main.stat().st_size > 2_000_000)


async def test_log_is_bounded_under_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail that never pauses does not fill the disk with a log that never starts again."""
    monkeypatch.setattr(writer, "_CHECKPOINT_AT", 1_000_000)
    monkeypatch.setattr(writer, "_FINISH_AT", 500)
    async with opened(tmp_path) as queue:
        for n in range(600):
            items = await queue.accept([new(f"A{n}", bytes(100_000))])
            queue.settle(*(Done(item) for item in items))
            await asyncio.sleep(0.002)
        assert (tmp_path / "0.db-wal").stat().st_size < 40_000_000


async def test_short_content(tmp_path: Path) -> None:
    """Content that came out shorter than announced is a failed encryption, never a mail."""

    class Short:
        size = 10

        def chunks(self) -> Iterator[bytes]:
            yield b"four"

    async with opened(tmp_path) as queue:
        with pytest.raises(Unavailable):
            await queue.accept([new("A", Short())])
        assert not queue.counts()


async def test_room(tmp_path: Path) -> None:
    """A peer hears 452 before it sends its mail, not after."""
    async with opened(tmp_path) as queue:
        assert queue.has_room()


async def test_unreadable_row(tmp_path: Path) -> None:
    """One damaged row would keep all other mail for its hop from being found, for ever."""
    async with opened(tmp_path) as queue:
        bad, good = await queue.accept([new("1A"), new("1B")])
        queue.release([bad, good])
        with sqlite3.connect(tmp_path / "0.db") as connection:
            connection.execute("UPDATE item SET recipients = '[[' WHERE id = '1A'")
        assert [item.id for item in due(queue)] == ["1B"]
        await queue.flush()
        assert queue.counts() == {("active", "outbound"): 1, ("corrupt", "outbound"): 1}


async def test_abandoned_large_mail_leaves_no_file(tmp_path: Path) -> None:
    """Every mail whose decision took too long would fill the disk until the next start."""
    begun, may_go_on = threading.Event(), threading.Event()

    class Slow:
        size = 2 * len(LARGE)

        def chunks(self) -> Iterator[bytes]:
            yield LARGE
            begun.set()
            may_go_on.wait(PATIENCE)
            yield LARGE

    async with opened(tmp_path) as queue:
        waiting = asyncio.create_task(queue.accept([new("1A", Slow())]))
        await soon(begun.is_set)
        assert any((tmp_path / "0.bodies").iterdir())
        waiting.cancel()
        may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await soon(lambda: not any((tmp_path / "0.bodies").iterdir()))
        assert not queue.counts()
