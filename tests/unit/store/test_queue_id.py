"""Queue ids."""

import os
from datetime import timedelta

from tests.unit.store.box import START

from gatepost.store.queue_id import ALPHABET, Identifier


def test_unique_and_sorted() -> None:
    """Ids of one process never repeat and sort by time, even when the clock is set back."""
    identify = Identifier(os.urandom)
    moments = [START + timedelta(milliseconds=n // 3000) for n in range(9000)]
    ids = [identify(moment) for moment in (*moments, START - timedelta(days=1))]
    assert len(set(ids)) == 9001
    assert sorted(ids) == ids
    assert {14} == {len(one) for one in ids}
    assert not set("".join(ids)) - set(ALPHABET)


def test_processes_differ() -> None:
    """Two workers that take mail in the same millisecond name it differently."""
    one, other = Identifier(bytes), Identifier(lambda n: b"\xff" * n)
    assert one(START) != other(START)
    assert one(START)[:11] == other(START)[:11]
