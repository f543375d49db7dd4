"""The directory of certificates, keys, partners and policy."""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.pki_builder import user

from gatepost.errors import Unavailable
from gatepost.mail.address import Mailbox
from gatepost.smime.correspondent import Lesson
from gatepost.store import sqlite_database
from gatepost.store.directory import Directory

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
ALICE = Mailbox.parse("alice@example.com")
CERTIFICATE = user("alice@example.com", "p256").certificate


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with Directory(tmp_path / "new" / "directory.sqlite") as opened:
        yield opened


def test_only_the_owner_may_read_the_files(directory: Directory) -> None:
    """Other accounts on the machine could copy the sealed keys and everybody's addresses."""
    directory.add_certificate(CERTIFICATE, [ALICE], now=NOW)
    assert directory.path.parent.stat().st_mode & 0o777 == 0o700
    files = sorted(directory.path.parent.iterdir())
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    directory.path.chmod(0o644)
    Directory(directory.path).close()
    assert directory.path.stat().st_mode & 0o777 == 0o600


def test_places_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    """A typing error in the configuration would be a traceback."""
    (tmp_path / "text").write_bytes(b"this is not a database" * 100)
    with pytest.raises(Unavailable, match="text cannot be opened: file is not a database"):
        Directory(tmp_path / "text")
    with pytest.raises(Unavailable, match="cannot be opened: Is a directory"):
        Directory(tmp_path)


def test_the_common_mail_writes_nothing(directory: Directory) -> None:
    """Every signed mail would cost a disk flush."""
    lesson = Lesson(ALICE, NOW, frozenset({"aes256-gcm"}), frozenset({"rsa-pss"}))
    directory.learn(CERTIFICATE, ALICE, now=NOW)
    directory.note(lesson, now=NOW)
    watcher = sqlite3.connect(directory.path)
    version = watcher.execute("PRAGMA data_version").fetchall()
    for hour in range(20):
        directory.learn(CERTIFICATE, ALICE, now=NOW + timedelta(hours=hour))
        signed = replace(lesson, signed_at=NOW + timedelta(seconds=20 * hour))
        directory.note(signed, now=NOW + timedelta(hours=hour))
    assert version == watcher.execute("PRAGMA data_version").fetchall()
    generation = directory.generation()
    directory.learn(CERTIFICATE, ALICE, now=NOW + timedelta(days=3))
    assert version != watcher.execute("PRAGMA data_version").fetchall()
    assert generation == directory.generation()  # a date alone makes no answer old
    watcher.close()


def test_remembered_answers_cost_microseconds(directory: Directory) -> None:
    """Each recipient of each mail would cost a database query."""
    directory.add_certificate(CERTIFICATE, [ALICE], now=NOW)
    directory.candidates_for(ALICE)
    start = time.process_time()
    for _ in range(1000):
        directory.candidates_for(ALICE)
    assert (time.process_time() - start) / 1000 < 0.0005


def test_a_locked_or_full_database_is_a_reason_to_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that holds the lock would turn into bounced mail instead of 451."""
    monkeypatch.setattr(sqlite_database, "BUSY_MILLISECONDS", 20)
    with Directory(tmp_path / "directory.sqlite") as directory:
        other = sqlite3.connect(directory.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="cannot be used now: database is locked"):
            directory.add_certificate(CERTIFICATE, [ALICE], now=NOW)
        assert directory.candidates_for(ALICE) == ()  # readers are never in the way of writers
        other.execute("ROLLBACK")
        other.close()
        directory.add_certificate(CERTIFICATE, [ALICE], now=NOW)
        assert len(directory.candidates_for(ALICE)) == 1
