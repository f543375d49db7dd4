"""Nodes of two versions and of different clocks at one queue."""

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from tests.contract.conftest import Postgres
from tests.contract.test_nodes import SHORT, renewed, until
from tests.unit.store.box import TestSeal, new

from gatepost.errors import ConfigError, Unavailable
from gatepost.store import postgres_schema
from gatepost.store.contract import MailQueue
from gatepost.store.postgres_queue import PostgresQueue
from gatepost.store.queue_item import Done

KNOWN = len(postgres_schema.migrations())
NEXT = f"""-- oldest: {KNOWN}
ALTER TABLE item ADD COLUMN note text;
CREATE INDEX item_note ON item (note);
"""
AFTER = f"""-- oldest: {KNOWN + 2}
ALTER TABLE item DROP COLUMN reason;
"""


def due(queue: MailQueue) -> tuple[str, ...]:
    found = queue.due("outbound", datetime.now(UTC), 10**6)
    queue.settle(*(Done(item) for item in found))
    return tuple(item.id for item in found)


async def test_upgrade_node_by_node(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade would need all nodes stopped at once; or the old ones would stop by themselves."""
    known = postgres_schema.migrations()
    old = postgres.open("old")
    accepted, refused, stop = list[str](), list[Exception](), asyncio.Event()

    async def work() -> None:
        while not stop.is_set():
            id_ = f"OLD{len(accepted)}"
            try:
                items = await old.accept([new(id_)])
            except Unavailable as error:
                refused.append(error)
                return
            accepted.append(id_)
            old.release(items)

    working = asyncio.create_task(work())
    assert await until(lambda: len(accepted) > 20)
    monkeypatch.setattr(postgres_schema, "migrations", lambda: (*known, NEXT))
    newer = await asyncio.to_thread(postgres.open, "newer")
    assert await until(lambda: len(accepted) > 50)
    stop.set()
    await working
    await old.flush()
    assert refused == []
    assert sorted(await asyncio.to_thread(due, newer)) == sorted(accepted)
    newer.release(await newer.accept([new("NEW")]))
    await newer.flush()
    assert await asyncio.to_thread(due, old) == ("NEW",)

    monkeypatch.setattr(postgres_schema, "migrations", lambda: known)
    await postgres.shut(old)
    again = await asyncio.to_thread(postgres.open, "old")  # the old one may even start anew
    await again.accept([new("AGAIN")])
    monkeypatch.setattr(postgres_schema, "migrations", lambda: (*known, NEXT, AFTER))
    await postgres.shut(again)
    (await asyncio.to_thread(postgres.open, "newest")).close()
    monkeypatch.setattr(postgres_schema, "migrations", lambda: known)
    with pytest.raises(ConfigError, match=f"schema {len(known) + 2}, this Gatepost knows"):
        postgres.open("old")


def is_true(step: str, number: int) -> bool:
    """Whether a migration says which programs go on working, and only adds if older ones do."""
    first = re.match(r"-- oldest: (\d+)\n", step)
    if first is None or int(first[1]) > number:
        return False
    takes = re.search(r"\b(DROP|RENAME|TYPE)\b|NOT NULL(?!.*DEFAULT)", step)
    return int(first[1]) == number or not takes


def test_what_goes_beside_an_older_program_only_adds() -> None:
    """A migration said to be harmless would break the nodes that are not upgraded yet."""
    assert is_true(NEXT, KNOWN + 1)
    assert is_true(AFTER, KNOWN + 2)
    assert not is_true(AFTER, KNOWN + 3)
    assert not is_true("ALTER TABLE item ADD COLUMN x text;", 2)
    assert not is_true("-- oldest: 1\nALTER TABLE item ADD COLUMN x text NOT NULL;", 2)
    for number, step in enumerate(postgres_schema.migrations()[1:], 2):
        assert is_true(step, number), f"{number}: add only, and take away a release later"


def skewed(minutes: int) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + timedelta(minutes=minutes)


async def test_clocks_that_differ(postgres: Postgres) -> None:
    """A node ten minutes ahead would bury all others, and its own mail would wait ten minutes."""
    nodes = {
        minutes: PostgresQueue(
            postgres.address,
            postgres.folder / str(minutes),
            TestSeal(),
            clock=skewed(minutes),
            lease=SHORT,
        )
        for minutes in (-10, 0, 10)
    }
    postgres.queues += nodes.values()
    items = {minutes: await queue.accept([new(f"A{minutes}")]) for minutes, queue in nodes.items()}
    await renewed(postgres, len(nodes))
    for minutes, queue in nodes.items():
        assert queue.holds(items[minutes][0])
        assert queue.gone(items[minutes]) == frozenset()
    for minutes in (-10, 10):  # as a power cut: no more renewals
        node = nodes[minutes]._node
        node._stopping = True
        node._wake.set()
    taken: list[str] = []

    def take() -> bool:
        taken.extend(due(nodes[0]))
        return len(taken) == 2

    assert await until(take)
    assert sorted(taken) == ["A-10", "A10"]
