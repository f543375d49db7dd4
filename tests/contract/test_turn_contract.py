"""Turns, notices and what is fetched in advance, on both databases: each by one of many nodes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.contract.shelf import Shelf
from tests.pki_builder import company, user

from gatepost.pki.place import Status
from gatepost.store.directory import Directory
from gatepost.store.notice import Notice

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["sqlite", "postgres"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    """Each engine in turn."""
    is_shared = request.param == "postgres"
    place = request.getfixturevalue("postgres").address if is_shared else str(tmp_path / "d.db")
    with Shelf(place).open() as opened:
        yield opened


def at_once(work: Callable[[], bool]) -> int:
    """How many of some nodes were told that it is theirs."""
    done: list[bool] = []
    nodes = [threading.Thread(target=lambda: done.append(work())) for _ in range(4)]
    for one in nodes:
        one.start()
    for one in nodes:
        one.join()
    return sum(done)


def test_one_takes_its_turn(directory: Directory) -> None:
    """Four workers write four letters, or none does any more."""
    turns = directory.turns
    assert at_once(lambda: turns.take("letter", NOW, NOW + HOUR)) == 1
    assert not turns.take("letter", NOW + HOUR - timedelta(seconds=1), NOW + 2 * HOUR)
    assert turns.take("other", NOW, NOW + HOUR)
    assert at_once(lambda: turns.take("letter", NOW + HOUR, NOW + 2 * HOUR)) == 1
    turns.give_back("letter", NOW + HOUR)
    assert at_once(lambda: turns.take("letter", NOW + HOUR, NOW + 3 * HOUR)) == 1


def test_a_thing_is_told_once(directory: Directory) -> None:
    """Every node that sees it has it told again."""
    notices = directory.notices
    one = Notice("a", NOW, "certificate.ending", "ends" * 1000)
    assert at_once(lambda: notices.add(one)) == 1
    grave = Notice("b" * 200, NOW + HOUR, "certificate.held", "held", grave=True)
    assert notices.add(grave)
    assert [len(found.text) for found in notices.untold(10)] == [500, 4]
    (found,) = notices.untold(10, grave=True)
    notices.told([found.key], NOW + HOUR)
    assert [each.key for each in notices.untold(10)] == ["a"]
    assert not notices.add(grave)  # it was told
    assert notices.prune(NOW + 2 * HOUR) == 1
    assert notices.add(grave)
    assert len(notices.untold(1)) == 1


def test_a_place_is_asked_by_one_node(directory: Directory) -> None:
    """Ten nodes fetch the same list at the same second, or nobody does."""
    statuses = directory.statuses
    one = Status("ab" * 32, "ocsp", "http://a.example/", b"der", NOW, NOW + HOUR, "", b"question")
    statuses.write(one)
    assert statuses.read(one.id) == one
    assert statuses.due(NOW, NOW, 10) == ()
    (due,) = statuses.due(NOW + HOUR, NOW, 10)
    assert (due.question, due.der) == (b"question", None)
    assert at_once(lambda: statuses.claim(due, NOW + 2 * HOUR)) == 1
    assert statuses.due(NOW + HOUR, NOW, 10) == ()
    (again,) = statuses.due(NOW + 2 * HOUR, NOW, 10)
    assert statuses.claim(again, NOW + 3 * HOUR)
    assert statuses.due(NOW + 4 * HOUR, NOW + HOUR, 10) == ()  # nobody has used it since
    statuses.use(one.id, NOW + HOUR)
    statuses.use(one.id, NOW)  # a clock behind changes nothing
    assert len(statuses.due(NOW + 4 * HOUR, NOW + HOUR, 10)) == 1
    assert statuses.prune(NOW + HOUR) == 0
    assert statuses.prune(NOW + 2 * HOUR) == 1


def test_the_end_of_a_certificate_is_told_by_one_node(directory: Directory) -> None:
    """Ten nodes say that it ends; or, on a database that does not count, none."""
    assert at_once(lambda: directory.alerts.claim("ab" * 32, 30, NOW)) == 1
    assert not directory.alerts.claim("ab" * 32, 30, NOW + HOUR)
    assert directory.alerts.claim("ab" * 32, 14, NOW)


def test_a_revocation_is_new_once(directory: Directory) -> None:
    """The list would not be signed anew, or at every repetition of the command."""
    issuer, one = company().certificate, user("alice@example.com", "p256").certificate
    ledger = directory.ledger
    assert ledger.revoke(one, issuer, "certificateHold", NOW)
    assert not ledger.revoke(one, issuer, "certificateHold", NOW + HOUR)
    assert ledger.revoke(one, issuer, "keyCompromise", NOW + HOUR)
    assert not ledger.revoke(one, issuer, "superseded", NOW + HOUR)
    found = ledger.find(issuer, one.serial)
    assert found is not None
    assert (found.reason, found.at) == ("keyCompromise", NOW + HOUR)
