"""Kill -9 at any moment, of the gateway or of the database: what was acknowledged is there."""

import asyncio
import contextlib
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any

import pytest
from tests.contract.conftest import Postgres
from tests.contract.test_queue_contract import due
from tests.patience import PATIENCE, soon
from tests.peers.postgres import Server
from tests.unit.store.box import MARKER, Clock, TestSeal, new

from gatepost.errors import Unavailable
from gatepost.mail.content import join
from gatepost.store.postgres_queue import PostgresQueue
from gatepost.store.queue_item import Done

CLIENTS = 20
LARGE = MARKER * 10_000


def _serve(address: str, folder: Path, round_: int, log: Any) -> None:
    """Accept mail of many clients, say which was acknowledged and which is done with."""

    async def client(queue: PostgresQueue, number: int) -> None:
        for nth in range(100_000):
            id_ = f"{round_}.{number}.{nth}"
            body = LARGE if nth % 50 == 7 else MARKER
            try:
                items = await queue.accept([new(id_, body), new(id_, body)])
            except Unavailable:
                await asyncio.sleep(0.05)
                continue
            log.send(("kept", id_))
            if nth % 3 == 0:
                log.send(("done", id_))  # said before: a crash may swallow the settlement
                queue.settle(*(Done(item) for item in items))

    async def run() -> None:
        queue = PostgresQueue(address, folder, TestSeal(), clock=Clock())
        await asyncio.gather(*(client(queue, number) for number in range(CLIENTS)))

    asyncio.run(run())


def _hear(log: Any, told: dict[str, set[str]], seconds: float, enough: int = 0) -> None:
    """For so long, and until so many are kept."""
    end, last = time.monotonic() + seconds, time.monotonic() + PATIENCE
    while time.monotonic() < end or len(told["kept"]) < enough:
        assert time.monotonic() < last, "nothing more was accepted"
        with contextlib.suppress(EOFError, OSError):
            if log.poll(0.02):
                kind, id_ = log.recv()
                told[kind].add(id_)


@pytest.mark.parametrize("victim", ["gateway", "database"])
async def test_killed(postgres: Postgres, server: Server, victim: str, tmp_path: Path) -> None:
    """Acknowledged and lost: none; stored by halves: none."""
    context = multiprocessing.get_context("spawn")
    told: dict[str, set[str]] = {"kept": set(), "done": set()}
    for round_ in range(2):
        ours, theirs = context.Pipe(duplex=False)
        node = context.Process(
            target=_serve, args=(postgres.address, tmp_path / "node", round_, theirs)
        )
        node.start()
        theirs.close()
        while not ours.poll(0.1):
            assert node.is_alive()
        enough = len(told["kept"]) + 2 * CLIENTS
        _hear(ours, told, 0.3 + random.random() / 3, enough)
        if victim == "database":
            before = len(told["kept"])
            await asyncio.to_thread(server.crash)
            await asyncio.to_thread(server.start)
            _hear(ours, told, 0.2, before + CLIENTS)  # the gateway goes on by itself
        node.kill()
        node.join()
        with contextlib.suppress(EOFError):  # what it had said before it died
            while True:
                kind, id_ = ours.recv()
                told[kind].add(id_)
    queue = postgres.open("judge")
    with postgres.session() as connection:  # nobody waits a minute here
        connection.execute(
            "UPDATE node SET until = '-infinity' WHERE id < (SELECT max(id) FROM node)"
        )
    assert isinstance(queue, PostgresQueue)
    queue._node.doubt(has_ended=False)
    found: dict[str, int] = {}
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        items = await asyncio.to_thread(due, queue, "outbound", 10**6)
        for item in items:
            found[item.queue_id] = found.get(item.queue_id, 0) + 1
        if items and all(id_ in found for id_ in told["kept"] - told["done"]):
            break
        await asyncio.sleep(0.05)
    assert len(told["kept"]) > 2 * CLIENTS
    assert told["kept"] - told["done"] - found.keys() == set()
    assert set(found.values()) == {2}
    for item in items[:50]:
        assert join(queue.opened(item).content) in (MARKER, LARGE)


async def test_database_away(postgres: Postgres, server: Server) -> None:
    """While the database is away peers hear 4xx before they send, and all is well once it is back."""
    queue = postgres.open()
    (item,) = await queue.accept([new("A")])
    await asyncio.to_thread(server.crash)
    try:
        for _ in range(50):
            if not queue.has_room():
                break
            with pytest.raises(Unavailable):
                await queue.accept([new("B")])
        assert not queue.has_room()
        with pytest.raises(Unavailable):
            await asyncio.to_thread(due, queue)
        with pytest.raises(Unavailable):
            await asyncio.to_thread(queue.counts)
        queue.settle(Done(item))
        assert queue.holds(item)  # its lease outlasts a short outage
    finally:
        await asyncio.to_thread(server.start)
    await soon(queue.has_room)
    await queue.accept([new("C")])
    assert queue.counts() == {("active", "outbound"): 1}
