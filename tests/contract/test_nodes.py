"""Several nodes on one PostgreSQL: nothing lost, nothing doubled, the dead replaced."""

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.contract.conftest import Postgres
from tests.contract.test_queue_contract import LARGE, due
from tests.patience import PATIENCE
from tests.unit.store.box import MARKER, Clock, TestSeal, new

from gatepost.errors import ConfigError, Unavailable
from gatepost.mail.content import join
from gatepost.store import postgres_database, postgres_node, postgres_schema
from gatepost.store.postgres_clock import now
from gatepost.store.postgres_database import Connection
from gatepost.store.postgres_queue import PostgresQueue
from gatepost.store.queue_item import Done, Retried

SHORT = timedelta(seconds=4)  # a busy machine stands still for a second


async def until(condition: Any) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if await asyncio.to_thread(condition):
            return True
        await asyncio.sleep(0.05)
    return False


async def renewed(postgres: Postgres, nodes: int) -> None:
    """Return when each of so many nodes has renewed its lease again and again, and right then."""
    with postgres.session() as connection:

        def ends() -> set[object]:
            return {end for (end,) in connection.execute("SELECT until FROM node").fetchall()}

        for _ in range(3):
            before = ends()
            assert len(before) == nodes
            assert await until(lambda: not before & ends())  # noqa: B023


async def test_shared_work_without_doubles(postgres: Postgres) -> None:
    """Two nodes at one queue deliver each mail once, and neither waits for the other."""
    first, second = postgres.open("a"), postgres.open("b")
    items = await first.accept([new(f"A{n}") for n in range(200)])
    first.release(items)
    await first.flush()
    taken: dict[str, list[str]] = {"a": [], "b": []}
    both = threading.Barrier(2)

    def work(name: str) -> None:
        queue = first if name == "a" else second
        while found := due(queue, limit=7):
            if not taken[name]:
                both.wait(PATIENCE)  # each has some before either goes on
            taken[name] += [item.id for item in found]
            queue.settle(*(Done(item) for item in found))

    await asyncio.gather(asyncio.to_thread(work, "a"), asyncio.to_thread(work, "b"))
    assert len(taken["a"]) + len(taken["b"]) == 200
    assert len({*taken["a"], *taken["b"]}) == 200
    assert all(taken.values())
    await asyncio.gather(first.flush(), second.flush())
    assert not first.counts()


def _die_holding(address: str, folder: Path, ready: Any) -> None:
    async def run() -> None:
        queue = PostgresQueue(address, folder, TestSeal(), clock=Clock(), lease=SHORT)
        await queue.accept([new("SMALL"), new("LARGE", LARGE)])
        ready.set()
        await asyncio.sleep(60)

    asyncio.run(run())


async def test_death_of_a_node(postgres: Postgres) -> None:
    """Whom a power cut takes away loses no mail: another node delivers it after the lease."""
    postgres.lease = SHORT
    heard = threading.Event()
    survivor = postgres.open("b")
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    node = context.Process(
        target=_die_holding, args=(postgres.address, postgres.folder / "a", ready)
    )
    node.start()
    assert await asyncio.to_thread(ready.wait, PATIENCE)
    await renewed(postgres, 2)
    assert due(survivor) == ()  # it lives and renews
    survivor.changed = heard.set
    assert node.pid is not None
    os.kill(node.pid, signal.SIGKILL)
    node.join()
    assert due(survivor) == ()  # the lease is not over
    assert await asyncio.to_thread(heard.wait, PATIENCE)
    small, large = due(survivor)
    assert join(survivor.opened(small).content) == MARKER
    assert join(survivor.opened(large).content) == LARGE


async def test_relies_on_less_than_it_has(postgres: Postgres) -> None:
    """Others that begin while the node still relies on its lease deliver its mail a second time."""
    queue = postgres.open("a")
    assert isinstance(queue, PostgresQueue)
    with postgres.session() as connection:
        for _ in range(3):
            queue._node._renew_at = 0.0  # the next look renews
            queue._node._wake.set()
            assert await until(lambda: queue._node._renew_at)
            relied = queue._node._until - now()
            row = connection.execute(
                "SELECT extract(epoch FROM until - clock_timestamp())::float8 FROM node"
            ).fetchone()
            assert row is not None
            assert 0 < relied < float(str(row[0])) <= 0.75 * postgres.lease.total_seconds()
    # A death right before a renewal, seen by one that has just reconnected: within the lease.
    assert postgres_node._LIFE + postgres_node._RENEWAL < 1


async def test_returning_database(postgres: Postgres) -> None:
    """After an outage longer than a lease whoever is first would declare all the others dead."""
    queue = postgres.open("a")
    assert isinstance(queue, PostgresQueue)
    node = queue._node
    with postgres.session() as connection:

        def others() -> int:
            rows = connection.execute("SELECT 1 FROM node WHERE name = 'late'").fetchall()
            return len(rows)

        await asyncio.to_thread(postgres.cut)
        assert await until(lambda: node._bury_from > 0)  # it is back
        connection.execute("INSERT INTO node (name, until) VALUES ('late', now() - interval '1s')")
        node._renew_at = 0.0
        node.doubt(has_ended=False)
        assert await until(lambda: node._renew_at)  # it has looked
        assert others() == 1
        node._bury_from = 0.0
        node.doubt(has_ended=False)
        assert await until(lambda: not others())


async def test_death_in_the_middle_of_a_commit(postgres: Postgres) -> None:
    """A node that stands still half-way keeps its row locked: its mail would wait for hours."""
    postgres.lease = SHORT
    stuck, survivor = postgres.open("a"), postgres.open("b")
    assert isinstance(stuck, PostgresQueue)
    await stuck.accept([new("A")])
    node = stuck._node
    half_way = psycopg.connect(postgres.address)
    half_way.execute(postgres_database.CALLED, (postgres_database.session_name(node._name),))
    half_way.commit()
    half_way.execute(postgres_database.GUARD, ([node.id],))
    node._stopping = True  # it renews no more
    node._wake.set()
    assert await until(lambda: len(due(survivor)) == 1)
    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        half_way.execute("COMMIT")
    half_way.close()


async def test_restarted_node_needs_no_wait(postgres: Postgres) -> None:
    """A node that comes back has its mail at once, not after the lease of its former self."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    node = context.Process(
        target=_die_holding, args=(postgres.address, postgres.folder / "a", ready)
    )
    node.start()
    assert await asyncio.to_thread(ready.wait, PATIENCE)
    node.kill()
    node.join()
    queue = postgres.open("a")
    assert sorted(item.id for item in due(queue)) == ["LARGE", "SMALL"]


async def test_stopped_node_hands_over(postgres: Postgres) -> None:
    """An orderly stop gives the mail to the others at once."""
    first, second = postgres.open("a"), postgres.open("b")
    await first.accept([new("A")])
    assert due(second) == ()
    await postgres.shut(first)
    assert [item.id for item in due(second)] == ["A"]


async def test_lost_lease(postgres: Postgres) -> None:
    """A node that slept past its lease settles nothing that another works on by now."""
    sleeper, other = postgres.open("a"), postgres.open("b")
    items = await sleeper.accept([new("A"), new("B"), new("C")])
    assert all(sleeper.holds(item) for item in items)
    with postgres.session() as connection:  # as if its time had passed unrenewed
        connection.execute(
            "UPDATE node SET until = '-infinity' WHERE name LIKE '%/0'"
            " AND id = (SELECT min(id) FROM node)"
        )
        connection.execute("DELETE FROM node WHERE until = '-infinity'")
        connection.execute("UPDATE item SET holder = NULL")
    taken = due(other)
    assert [item.id for item in taken] == ["A", "B", "C"]
    assert all(other.holds(item) for item in taken)
    assert {item.number for item in items} == sleeper.gone(items)
    sleeper.settle(Done(items[0]), Retried(items[1]))
    with pytest.raises(Unavailable):  # no second notice about one mail
        await sleeper.accept([new("NOTICE")], (), [Done(items[2])])
    await sleeper.flush()
    assert not any(sleeper.holds(item) for item in items)
    assert other.gone(taken) == frozenset()
    assert other.counts() == {("active", "outbound"): 3}
    other.settle(*(Done(item) for item in taken))
    await other.flush()
    assert not other.counts()

    async def works() -> bool:
        try:
            await sleeper.accept([new("NEW")])
        except Unavailable:
            return False
        return True

    async with asyncio.timeout(PATIENCE):  # it has taken a new lease by itself
        while not await works():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.1)
    assert other.counts() == {("active", "outbound"): 1}


@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_connection_lost_while_accepting(postgres: Postgres, size: int) -> None:
    """A database that goes away mid-way is a 451, never a mail half stored; then it goes on."""
    queue = postgres.open()
    blocker = postgres.session()
    blocker.execute("BEGIN")
    blocker.execute("LOCK TABLE item IN EXCLUSIVE MODE")
    waiting = asyncio.create_task(queue.accept([new("A", bytes(size)), new("B")]))
    waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
    assert await until(lambda: blocker.execute(waits.encode()).fetchall())
    assert not waiting.done()
    assert await asyncio.to_thread(postgres.cut) >= 2
    with pytest.raises(Unavailable):
        await waiting
    blocker.close()

    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await queue.accept([new("C", bytes(size))])
                break
            except Unavailable:
                await asyncio.sleep(0.1)
    assert queue.counts() == {("active", "outbound"): 1}


async def test_commit_without_an_answer(postgres: Postgres) -> None:
    """Who heard 451 sends again: what was committed after all must not leave as a second mail."""
    deaf = threading.Event()

    class Deaf(psycopg.Connection[tuple[object, ...]]):
        def execute(self, query: Any, *values: Any, **options: Any) -> Any:
            done = super().execute(query, *values, **options)
            if query == "COMMIT" and deaf.is_set():
                deaf.clear()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return done

    postgres.connect = lambda address: postgres_database.prepared(
        Deaf.connect(address, autocommit=True)
    )
    queue = postgres.open()
    (kept,) = await queue.accept([new("KEPT")])
    deaf.set()
    with pytest.raises(Unavailable):
        await queue.accept([new("A")])
    assert await until(lambda: queue.counts() == {("active", "outbound"): 1})
    # With a settlement in it the notice must not get lost: it stays, at worst twice.
    deaf.set()
    with pytest.raises(Unavailable):
        await queue.accept([new("NOTICE")], (), [Done(kept)])
    assert await until(lambda: [item.id for item in due(queue)] == ["NOTICE"])


async def test_database_restarts(postgres: Postgres) -> None:
    """Every connection lost at once: settled is settled, held is held, and nothing is stray."""
    queue = postgres.open()
    items = await queue.accept([new("A"), new("B")])
    await asyncio.to_thread(postgres.cut)
    queue.settle(Done(items[0]))
    assert await until(lambda: queue.counts() == {("active", "outbound"): 1})
    assert queue.gone(items) == {items[0].number}
    assert queue.has_room()
    assert due(queue) == ()


async def test_close_without_an_answer(postgres: Postgres) -> None:
    """A node that is cut off from its database must not hang when it is told to stop."""
    queue = postgres.open()
    (item,) = await queue.accept([new("A")])
    with postgres.session() as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'gatepost%'"
        ).fetchall()
        pids = [int(str(pid)) for (pid,) in rows]
        assert len(pids) >= 4  # to read, to write, to write large bodies, to live
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            queue.settle(Done(item))
            reading = asyncio.create_task(asyncio.to_thread(queue.counts))
            async with asyncio.timeout(PATIENCE):
                await postgres.shut(queue)
            with pytest.raises(Unavailable):
                await reading
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


async def test_nodes_migrate_at_once(postgres: Postgres) -> None:
    """Nodes that start together bring the schema up to date once."""

    def migrate() -> None:
        postgres_schema.opened(postgres.address, postgres_database.connect).close()

    await asyncio.gather(*(asyncio.to_thread(migrate) for _ in range(6)))
    with postgres.session() as connection:
        known = len(postgres_schema.migrations())
        rows = connection.execute("SELECT version FROM queue_schema").fetchall()
        assert rows == [(n,) for n in range(1, known + 1)]
        connection.execute("INSERT INTO queue_schema VALUES (%s)", (known + 1,))
    with pytest.raises(ConfigError, match=f"schema {known + 1}, this Gatepost knows {known}"):
        postgres.open()


async def test_no_database(postgres: Postgres) -> None:
    """A start without the database is refused with its reason, and leaves no lock behind."""
    address, postgres.address = postgres.address, "host=127.0.0.1 port=1 connect_timeout=2"
    with pytest.raises(Unavailable, match="cannot be reached"):
        postgres.open()
    postgres.address = address
    postgres.open()
    with pytest.raises(ConfigError, match="another Gatepost"):
        postgres.open()


async def test_group_commit(postgres: Postgres) -> None:
    """A hundred mails at once share a few commits."""
    commits: list[str] = []
    may_go_on = threading.Event()

    class Counting(psycopg.Connection[tuple[object, ...]]):
        def execute(self, query: Any, *values: Any, **options: Any) -> Any:
            if query == "COMMIT":
                commits.append(query)
                may_go_on.wait(PATIENCE)  # as slow as a disk
            return super().execute(query, *values, **options)

    def connect(address: str) -> Connection:
        return postgres_database.prepared(Counting.connect(address, autocommit=True))

    postgres.connect = connect
    queue = postgres.open()
    waiting = [asyncio.create_task(queue.accept([new(f"A{n}")])) for n in range(100)]
    for _ in range(10):
        await asyncio.sleep(0)
    may_go_on.set()
    await asyncio.gather(*waiting)
    assert queue.counts() == {("active", "outbound"): 100}
    assert len(commits) < 10


async def test_commits_are_durable(postgres: Postgres) -> None:
    """With synchronous_commit off an acknowledged mail is lost when the power goes."""
    with postgres.session() as connection:
        connection.execute("ALTER ROLE gatepost SET synchronous_commit = off")
        try:
            made = postgres_database.connect(postgres.address)
            assert made.execute("SHOW synchronous_commit").fetchone() == ("on",)
            made.close()
        finally:
            connection.execute("ALTER ROLE gatepost RESET synchronous_commit")
