"""The configuration chooses the queue's engine, and keeps the database's password out of itself."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.contract.conftest import Postgres
from tests.unit.store.box import Clock, TestSeal, new

from gatepost.config import Settings, load
from gatepost.config.settings import Queue as QueueSettings
from gatepost.engine import backend
from gatepost.errors import ConfigError
from gatepost.store.postgres_control import PostgresControl
from gatepost.store.postgres_queue import PostgresQueue
from gatepost.store.queue import Queue
from gatepost.store.queue_control import Control

_FILE = """
[gateway]
hostname = "gate.alpha.test"
domains = ["alpha.test"]
state = "{state}"
[[listener]]
bind = "127.0.0.1:0"
direction = "outbound"
[vault]
key_environment = "KEY"
[next_hop.outbound]
host = "mx.example"
[next_hop.inbound]
host = "mail.example"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "state").mkdir()
    path = tmp_path / "gatepost.toml"
    path.write_text(_FILE.format(state=tmp_path / "state"))
    return load(path)


def test_files_by_default(settings: Settings) -> None:
    """Nobody needs a database server to run a gateway."""
    queue = backend.open_queue(settings, TestSeal(), "0", Clock())
    assert isinstance(queue, Queue)
    queue.close()
    assert isinstance(backend.control(settings), Control)


async def test_database(
    settings: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gateway and command line look at the same queue: the one in the database."""
    monkeypatch.setattr(backend, "address", lambda _: postgres.address)
    settings = replace(settings, queue=QueueSettings(database="postgresql://db/mail"))
    queue = backend.open_queue(settings, TestSeal(), "0", Clock())
    assert isinstance(queue, PostgresQueue)
    await queue.accept([new("A")])
    control = backend.control(settings)
    assert isinstance(control, PostgresControl)
    assert [item.id for item in control.list()] == ["A"]
    await asyncio.to_thread(queue.close)


def test_address(settings: Settings, tmp_path: Path) -> None:
    """The password comes from where it is safe, whatever characters it has."""
    file = tmp_path / "password"
    file.write_text("p@ss' word\n")
    file.chmod(0o600)
    queue = QueueSettings(database="postgresql://gate@db.test:5433/mail", password_file=file)
    found = backend.address(replace(settings, queue=queue).queue_database)
    for part in (
        "user=gate",
        "host=db.test",
        "port=5433",
        "dbname=mail",
        r"password='p@ss\' word'",
    ):
        assert part in found
    wrong = replace(settings, queue=QueueSettings(database="postgresql://db/mail?colour=blue"))
    with pytest.raises(ConfigError, match="colour"):
        backend.address(wrong.queue_database)


@pytest.mark.parametrize(
    "database",
    ["mysql://db/mail", "dbname=mail", "postgresql://gate:secret@db/mail"],
)
def test_refused(database: str) -> None:
    """A wrong address, or a secret in a file many can read, is refused before anything starts."""
    with pytest.raises(ValidationError):
        QueueSettings(database=database)
    with pytest.raises(ValidationError):
        QueueSettings(password_environment="PASSWORD")
