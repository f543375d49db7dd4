"""Requests for certificates of other authorities, on both databases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.contract.shelf import Shelf
from tests.pki_builder import company, user

from gatepost.store.directory import Directory
from gatepost.store.request import LEASE, Outcome, Request

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
ONE = Request("alice@example.com", "both", "acme", "ab" * 32, b"box", b"p10", created=NOW, due=NOW)


@pytest.fixture(params=["sqlite", "postgres"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    """Each engine in turn."""
    is_shared = request.param == "postgres"
    place = request.getfixturevalue("postgres").address if is_shared else str(tmp_path / "d.db")
    with Shelf(place).open() as opened:
        yield opened


def test_one_request_for_each_address_and_purpose(directory: Directory) -> None:
    """Every worker that sees a first mail would ask the authority for a certificate of its own."""
    requests = directory.requests
    assert requests.open(ONE)
    assert not requests.open(replace(ONE, key_id="cd" * 32))
    assert requests.open(replace(ONE, purpose="sign", key_id="ef" * 32, created=LATER, due=LATER))
    assert requests.of("Alice@EXAMPLE.com") == requests.all()
    assert requests.all()[0] == ONE == requests.by_key("ab" * 32)
    assert requests.by_key("00") is None
    assert "box" not in repr(ONE)
    assert not requests.drop(replace(ONE, key_id="cd" * 32))
    assert requests.drop(ONE)
    assert [one.purpose for one in requests.all()] == ["sign"]


def test_one_node_asks_at_a_time(directory: Directory) -> None:
    """Two nodes would order the same certificate, and one of them would be for a lost key."""
    requests = directory.requests
    requests.open(ONE)
    assert requests.due(NOW - timedelta(seconds=1)) == ()
    assert requests.due(NOW) == (ONE,)
    assert requests.claim(ONE, "first", NOW)
    assert not requests.claim(ONE, "second", NOW)
    assert requests.due(NOW) == ()
    assert not requests.settle(ONE, "second", Outcome(LATER))
    assert requests.settle(ONE, "first", Outcome(LATER, "order 7", "an answer", 1, "busy"))
    assert requests.due(NOW) == ()
    [found] = requests.due(LATER)
    assert (found.state, found.waits_for, found.tries, found.fault) == (
        "order 7",
        "an answer",
        1,
        "busy",
    )
    assert not requests.claim(ONE, "second", LATER)  # as it was before: somebody has asked since
    assert requests.claim(found, "second", LATER)


def test_a_node_that_died_is_followed(directory: Directory) -> None:
    """A request would wait for ever for a node that was switched off while it asked."""
    requests = directory.requests
    requests.open(ONE)
    requests.claim(ONE, "dead", NOW)
    late = NOW + LEASE
    assert requests.due(late) == (ONE,)
    assert requests.claim(ONE, "heir", late)
    assert not requests.settle(ONE, "dead", Outcome(LATER, "stale"))
    assert requests.settle(ONE, "heir", Outcome(late, ended=True, fault="no"))
    assert requests.due(late + LEASE) == ()
    assert requests.all()[0].as_data()["again"] is None


def test_finished_as_one(directory: Directory) -> None:
    """A key would be kept without its certificate, or the request go on beside both."""
    requests = directory.requests
    old, new = (user("alice@example.com", "p256").certificate, user("alice@example.com"))
    requests.open(ONE)
    chain = (new.certificate, company().certificate)
    generation = directory.generation()
    assert requests.finish(ONE, chain, now=NOW)
    assert not requests.finish(ONE, (old,), now=NOW)
    assert requests.all() == ()
    assert directory.generation() != generation
    for kind in ("sign", "encrypt"):
        assert directory.enrolled("alice@example.com", kind) == new.certificate
    found = directory.key_of(new.certificate)
    assert found is not None
    assert (found.key_id, found.purpose, found.sealed) == (ONE.key_id, "both", b"box")
    assert directory.issuers_of(new.certificate) == (company().certificate,)


def test_what_ends(directory: Directory) -> None:
    """Nobody would be asked for a successor, or for everybody's every hour."""
    requests = directory.requests
    requests.open(ONE)
    certificate = user("alice@example.com").certificate
    requests.finish(ONE, (certificate,), now=NOW)
    end, day = certificate.not_after, timedelta(days=1)
    expected = tuple(("alice@example.com", kind, certificate) for kind in ("encrypt", "sign"))
    assert requests.ending(end - day, end + day) == expected
    assert requests.ending(end - day, end) == ()
    assert requests.ending(end + timedelta(seconds=1), end + day) == ()
    assert requests.current() == {("alice@example.com", kind) for kind in ("encrypt", "sign")}
