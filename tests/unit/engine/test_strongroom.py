"""The key process under its supervisor's eyes: one that hangs is replaced, one that cannot says so."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.patience import PATIENCE
from tests.unit.engine.premises import furnished

from gatepost.config import Settings, load, read
from gatepost.engine import strongroom
from gatepost.engine.custody import BODIES, load_kek
from gatepost.engine.journal import Journal
from gatepost.engine.line import BEAT
from gatepost.engine.service import utc_now
from gatepost.engine.strongroom import Strongroom
from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.events import Event, Name
from gatepost.vault.client import Client
from gatepost.vault.subkey import Subkey, draw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return furnished(tmp_path)


@pytest.fixture
def settings(path: Path) -> Settings:
    return load(path)


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[int]:
    number = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


def room(
    path: Path, settings: Settings, said: list[Event], heard: Callable[[], None] = lambda: None
) -> Strongroom:
    journal = Journal(utc_now)
    journal.observe(said.append)
    journal.observe(lambda _: heard())
    return Strongroom(path, read(path), settings, journal)


async def asked(client: Client) -> Subkey:
    """What the one says that begins."""
    async with asyncio.timeout(PATIENCE):
        for _ in range(10_000):
            try:
                return client.subkey(BODIES)
            except KeyUnavailable:
                await asyncio.sleep(0.05)
    raise AssertionError


async def test_one_that_hangs_is_replaced(
    path: Path, settings: Settings, lock: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key process that stands still stops every mail until somebody looks at it."""
    said: list[Event] = []
    replaced = asyncio.Event()
    one = room(path, settings, said, replaced.set)
    one.open(lock, ())
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, one.reap)
    one.take_over(None)
    first = one.room(is_retiring=False)
    assert first is not None
    client = one.client
    assert client.subkey(BODIES) == draw(load_kek(settings), BODIES)
    os.kill(first.pid, signal.SIGSTOP)
    monkeypatch.setattr(strongroom, "SILENCE", BEAT + 2)
    client.close()  # what it holds would be waited for
    async with asyncio.timeout(PATIENCE):
        await replaced.wait()
    monkeypatch.setattr(strongroom, "SILENCE", 600.0)  # a busy machine is slow to begin
    assert await asked(client) == draw(load_kek(settings), BODIES)
    assert [(each.name, each.fields["code"]) for each in said] == [(Name.SERVICE_ERROR, -9)]
    client.close()
    await one.close()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
    assert not list(settings.gateway.state.iterdir())


def test_one_that_cannot_says_why(path: Path, settings: Settings, lock: int) -> None:
    """The gateway does not start, and nobody knows that a file's mode is the reason."""
    path.with_name("vault.key").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600") as refused:
        room(path, settings, []).open(lock, ())
    assert "KEY-01" in str(refused.value)


async def test_the_same_while_others_work(path: Path, settings: Settings) -> None:
    """A reload takes a configuration whose keys cannot be opened."""
    one = room(path, settings, [])
    path.with_name("vault.key").unlink()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, one.reap)
    with pytest.raises(ConfigError, match="No such file"):
        await one.start()
    await one.close()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
