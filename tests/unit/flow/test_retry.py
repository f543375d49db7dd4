"""Retries over simulated days (RFC 5321 section 4.5.4)."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from gatepost.flow.retry import (
    EXPIRED_STATUS,
    Bounce,
    Decision,
    Delivered,
    History,
    RetryAt,
    Schedule,
    after,
    is_late,
    pause,
    wait,
)
from gatepost.mail.reply import Reply

SCHEDULE = Schedule()
LATER = Reply(451, "4.3.0", "later")


def decide(reply: Reply, created: datetime, now: datetime, tries: int = 1) -> Decision:
    return after(History("1M7ZZ", created, tries, reply), now, SCHEDULE)


def attempts(key: str, created: datetime, schedule: Schedule = SCHEDULE) -> list[datetime]:
    """Every moment at which a next hop that always says 451 is asked."""
    now, moments = created, [created]
    while True:
        decision = after(History(key, created, len(moments), LATER), now, schedule)
        if not isinstance(decision, RetryAt):
            assert Bounce(EXPIRED_STATUS, expired=True) == decision
            return moments
        assert decision.due > now
        now = decision.due
        moments.append(now)


def test_delivered(now: datetime) -> None:
    """A 250 is never tried again, or the recipient would get the mail twice."""
    assert Delivered() == decide(Reply(250, "2.0.0", "ok"), now, now)
    assert Delivered() == decide(Reply(250, "2.0.0", "ok"), now - timedelta(days=9), now)


@pytest.mark.parametrize(("status", "told"), [("5.1.1", "5.1.1"), ("", "5.0.0")])
def test_permanent(now: datetime, status: str, told: str) -> None:
    """A 5yz is final at once; repeating it for days would keep the author waiting."""
    assert Bounce(told) == decide(Reply(550, status, "unknown"), now, now)


def test_nonsense_code_is_transient(now: datetime) -> None:
    """A next hop that talks nonsense does not cost the mail."""
    assert isinstance(decide(Reply(999, "", "?"), now, now), RetryAt)


def test_five_days(now: datetime) -> None:
    """Mail is tried for the whole five days, at the deadline for the last time, then returned."""
    moments = attempts("1M7ZZ", now)
    assert now + SCHEDULE.maximum_age == moments[-1]
    first_hour = [moment for moment in moments if moment < now + timedelta(hours=1)]
    assert 5 <= len(first_hour) <= 8
    assert 100 <= len(moments) <= 170
    gaps = [later - sooner for sooner, later in pairwise(moments)]
    assert max(gaps) <= SCHEDULE.longest * 1.16


def test_delay_is_noticed_when_it_begins(now: datetime) -> None:
    """The author of delayed mail hears of it after four hours, not after the next long pause."""
    assert now + SCHEDULE.warn_after in attempts("1M7ZZ", now)
    assert not is_late(now, now + timedelta(hours=3, minutes=59), SCHEDULE)
    assert is_late(now, now + timedelta(hours=4), SCHEDULE)


@pytest.mark.parametrize("span", [timedelta(0), timedelta.max])
def test_no_delay_notice(now: datetime, span: timedelta) -> None:
    """A company that switched delay notices off gets none."""
    never = Schedule(warn_after=span)
    assert not is_late(now, now + timedelta(days=4), never)
    assert len(attempts("1M7ZZ", now, never)) > 100


def test_spread(now: datetime) -> None:
    """A thousand mails deferred in one second do not come back in one second."""
    waits = {wait(3, f"id{n}", SCHEDULE) for n in range(1000)}
    assert len(waits) > 900
    assert min(waits) >= timedelta(minutes=4) * 0.84
    assert max(waits) <= timedelta(minutes=4) * 1.16
    assert wait(3, "id1", SCHEDULE) == wait(3, "id1", SCHEDULE)


@pytest.mark.parametrize("tries", [0, 1, 40, 10**9])
def test_absurd_counts(tries: int) -> None:
    """A damaged row cannot make a pause overflow."""
    assert timedelta(0) < wait(tries, "x", SCHEDULE) <= SCHEDULE.longest * 1.16
    assert timedelta(0) < pause(tries, "outbound") <= timedelta(minutes=6)
