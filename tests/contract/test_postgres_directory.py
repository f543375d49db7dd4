"""The shared directory when the database is away, and seen from another node at once."""

import asyncio
import threading

import pytest
from sqlalchemy import select, text
from tests.contract.conftest import Postgres
from tests.contract.shelf import ALICE
from tests.patience import PATIENCE, soon, until
from tests.peers.postgres import Server
from tests.pki_builder import user
from tests.unit.store.box import START

from gatepost.errors import Unavailable
from gatepost.store import postgres_watch
from gatepost.store.directory import Directory
from gatepost.store.postgres_directory import PostgresDatabase
from gatepost.store.schema import setting

CERTIFICATE = user("alice@example.com", "p256").certificate


def test_a_change_is_heard_at_once(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate withdrawn on one node would be used by the others for another second."""
    monkeypatch.setattr(postgres_watch, "_TICK", 60.0)
    monkeypatch.setattr(postgres_watch, "_STALE", 90.0)
    with (
        Directory(PostgresDatabase(postgres.address)) as one,
        Directory(PostgresDatabase(postgres.address)) as other,
    ):
        for turn in range(20):
            before = other.generation()
            one.change_setting("turn", str(turn))
            until(lambda: other.generation() != before)  # noqa: B023  waited for in here
            assert other.setting("turn") == str(turn)


async def test_without_the_database_nothing_is_decided(
    postgres: Postgres, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that is cut off would go on by a policy and certificates withdrawn meanwhile."""
    monkeypatch.setattr(postgres_watch, "_TICK", 0.05)
    with Directory(PostgresDatabase(postgres.address)) as directory:
        directory.add_certificate(CERTIFICATE, [ALICE], now=START)
        assert len(directory.candidates_for(ALICE)) == 1
        with monkeypatch.context() as brief:  # a busy machine may be silent for as long
            brief.setattr(postgres_watch, "_STALE", 0.2)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(server.crash)

        def refuses() -> bool:
            try:
                directory.candidates_for(ALICE)
            except Unavailable as error:
                return "directory's database cannot be reached" in str(error)
            return False

        try:
            await soon(refuses)
            with pytest.raises(Unavailable, match="cannot be used now"):
                directory.find()
            with pytest.raises(Unavailable, match="cannot be used now"):
                directory.change_setting("x", "1")
        finally:
            await asyncio.to_thread(server.start)
        async with asyncio.timeout(PATIENCE):  # it comes back
            while True:
                try:
                    assert len(directory.candidates_for(ALICE)) == 1
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
        directory.change_setting("x", "2")
        assert directory.setting("x") == "2"


def test_one_writer_at_a_time(postgres: Postgres) -> None:
    """Two nodes would each find that Alice has no key yet, and each make her one."""
    database = PostgresDatabase(postgres.address)
    with Directory(PostgresDatabase(postgres.address)) as directory:
        change = threading.Thread(target=directory.change_setting, args=("x", "1"))
        with database.writing() as connection:
            change.start()
            change.join(0.3)
            assert change.is_alive()
            assert connection.execute(select(setting).where(setting.c.key == "x")).all() == []
        change.join(PATIENCE)
        assert directory.setting("x") == "1"
    database.close()


def test_a_lost_connection_is_nobodys_loss(postgres: Postgres) -> None:
    """After every restart of the database the next mails would be put off for nothing."""
    database = PostgresDatabase(postgres.address)
    with Directory(database) as directory:
        directory.change_setting("x", "1")
        for _ in range(2):
            session = database.glance(
                lambda it: it.execute(text("SELECT pg_backend_pid()")).scalar()
            )
            assert directory.register.read("x") == "1"
            with database.writing() as connection:
                query = text("SELECT pg_terminate_backend(:pid, 5000)")
                assert connection.execute(query, {"pid": session}).scalar()
            assert directory.register.read("x") == "1"
