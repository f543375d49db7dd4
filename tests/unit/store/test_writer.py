"""Group commit: how often the disk is waited for, and for whom."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from gatepost.store import queue_database as database
from gatepost.store.writer import Job, Writer

FOR_EVER = 10 * PATIENCE


class Commits:
    """Connections that count their commits."""

    def __init__(self) -> None:
        self.count = 0

    def connect(self, path: Path) -> sqlite3.Connection:
        connection = database.connect(path)
        connection.set_trace_callback(self._heard)
        return connection

    def _heard(self, statement: str) -> None:
        self.count += statement == "COMMIT"


@pytest.fixture
def commits() -> Commits:
    return Commits()


@pytest.fixture
def patient(tmp_path: Path, commits: Commits) -> Iterator[Writer]:
    writer = Writer(tmp_path / "0.db", connect=commits.connect, changed=lambda: None, join=FOR_EVER)
    commits.count = 0
    yield writer
    writer.close()


async def test_joined(patient: Writer, commits: Commits) -> None:
    """Every mail would wait for the disk twice, and a gateway under load do a fifth less."""
    order: list[str] = []
    for name in ("first", "second"):
        patient.post(Job((), owed=True, after=lambda _, name=name: order.append(name)))  # type: ignore[misc]  # mypy and defaults
    awaited = asyncio.get_running_loop().create_future()
    patient.post(Job((), future=awaited, after=lambda _: order.append("awaited")))
    async with asyncio.timeout(PATIENCE):
        await awaited
    assert order == ["first", "second", "awaited"]
    assert commits.count == 1


async def test_awaited(patient: Writer, commits: Commits) -> None:
    """A sender would wait for company that may never come."""
    awaited = asyncio.get_running_loop().create_future()
    patient.post(Job((), future=awaited))
    async with asyncio.timeout(PATIENCE):
        await awaited
    assert commits.count == 1


def test_alone(tmp_path: Path, commits: Commits) -> None:
    """What was delivered last before a quiet night would be delivered again after a power cut."""
    writer = Writer(tmp_path / "0.db", connect=commits.connect, changed=lambda: None)
    commits.count = 0
    settled = threading.Event()
    writer.post(Job((), owed=True, after=lambda _: settled.set()))
    assert settled.wait(PATIENCE)
    assert commits.count == 1
    writer.close()


def test_closed(patient: Writer, commits: Commits) -> None:
    """A stop would take as long as the company stays away, and the settlement be lost."""
    settled = threading.Event()
    patient.post(Job((), owed=True, after=lambda _: settled.set()))
    patient.close()
    assert settled.is_set()
    assert commits.count == 1
