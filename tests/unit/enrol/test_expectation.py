"""Orders that wait for a mail: one per person, each challenge answered once, on any node."""

from datetime import datetime, timedelta

import pytest

from gatepost.enrol.expectation import PLACING, Expectations
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory

ALICE = Mailbox.parse("Alice@example.com")
DAY = timedelta(days=1)


@pytest.fixture
def expectations(directory: Directory) -> Expectations:
    return Expectations(directory.register)


def placed(expectations: Expectations, ticket: str, now: datetime) -> None:
    """An order is placed and waits a day."""
    assert expectations.begin(ALICE, ticket, "ca", now)
    expectations.settle(
        ALICE, ticket, sender="acme@ca.example", token="second", thumbprint="t", until=now + DAY
    )


def test_one_order_at_a_time(expectations: Expectations, now: datetime) -> None:
    """A challenge is answered for the wrong one of two orders, and both fail."""
    placed(expectations, "one", now)
    assert not expectations.begin(ALICE, "two", "ca", now + DAY - timedelta(seconds=1))
    assert expectations.begin(ALICE, "two", "ca", now + DAY)


def test_an_order_that_was_never_placed_blocks_nobody_for_long(
    expectations: Expectations, now: datetime
) -> None:
    """A node that dies while it places an order keeps Alice from ever getting a certificate."""
    assert expectations.begin(ALICE, "one", "ca", now)
    assert not expectations.begin(ALICE, "two", "ca", now + PLACING - timedelta(seconds=1))
    assert expectations.of(ALICE, now + PLACING) is None
    assert expectations.begin(ALICE, "two", "ca", now + PLACING)


def test_an_order_that_nobody_goes_on_with_is_overtaken(
    expectations: Expectations, now: datetime
) -> None:
    """A node that dies before it could remember its order keeps Alice waiting for a day."""
    placed(expectations, "one", now)
    later = now + PLACING
    assert not expectations.begin(ALICE, "two", "ca", now, lambda _: False)
    assert not expectations.begin(ALICE, "two", "ca", later, lambda ticket: ticket == "one")
    assert expectations.begin(ALICE, "two", "ca", later, lambda ticket: ticket != "one")


def test_a_challenge_is_claimed_once(expectations: Expectations, now: datetime) -> None:
    """Two nodes that get the same mail both answer it."""
    placed(expectations, "one", now)
    assert expectations.claim(ALICE, "one", "mark", now)
    assert not expectations.claim(ALICE, "one", "mark", now)
    assert expectations.claim(ALICE, "one", "another", now)
    found = expectations.of(Mailbox.parse("alice@example.com"), now)
    assert found is not None
    assert found.answered == ("mark", "another")


def test_a_claim_given_back_can_be_made_again(expectations: Expectations, now: datetime) -> None:
    """A response that could not be stored is never sent."""
    placed(expectations, "one", now)
    expectations.claim(ALICE, "one", "mark", now)
    expectations.disclaim(ALICE, "one", "mark")
    assert expectations.claim(ALICE, "one", "mark", now)


def test_nothing_is_claimed_for_an_order_that_ended(
    expectations: Expectations, now: datetime
) -> None:
    """A challenge is answered for an order long forgotten."""
    placed(expectations, "one", now)
    expectations.end(ALICE, "one")
    assert expectations.of(ALICE, now) is None
    assert not expectations.claim(ALICE, "one", "mark", now)


def test_an_older_order_does_not_end_a_newer_one(expectations: Expectations, now: datetime) -> None:
    """A node that was slow undoes what another one began."""
    placed(expectations, "one", now)
    expectations.end(ALICE, "one")
    placed(expectations, "two", now)
    expectations.end(ALICE, "one")
    assert not expectations.claim(ALICE, "one", "mark", now)
    assert expectations.claim(ALICE, "two", "mark", now)
