"""What becomes of a recipient after an attempt: delivered, retried or returned.

RFC 5321 section 4.5.4.  Pure arithmetic on the reply, the clock's value and a schedule,
so that five days of retries are a loop in a test.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from gatepost.mail.reply import Reply

# RFC 3463 section 3.5: X.4.7 delivery time expired, "useful only as a persistent transient error".
EXPIRED_STATUS = "4.4.7"

_SPREAD = (
    0.15  # each wait is up to this much shorter or longer, so that mail does not come in waves
)
_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to try again and when to give up.

    RFC 5321 section 4.5.4.1: give up after 4-5 days; it suggests 30 minutes between
    attempts, but a next hop of our own company is back sooner and does not mind.
    """

    first: timedelta = timedelta(minutes=1)
    longest: timedelta = timedelta(hours=1)
    maximum_age: timedelta = timedelta(days=5)
    warn_after: timedelta = timedelta(hours=4)  # nothing: never
    soft_bounce: bool = False  # a refusal for good is tried again, too


@dataclass(frozen=True, slots=True)
class History:
    """What is known about one recipient when an attempt has just ended."""

    key: str  # the item's id: seeds the spread
    created: datetime
    tries: int  # attempts that count, this one included
    last: Reply


@dataclass(frozen=True, slots=True)
class Delivered:
    """The next hop took responsibility."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again then."""

    due: datetime


@dataclass(frozen=True, slots=True)
class Bounce:
    """Give up; the return path is to hear `status` and the last reply."""

    status: str
    expired: bool = False


Decision = Delivered | RetryAt | Bounce


def after(history: History, now: datetime, schedule: Schedule) -> Decision:
    """Decide for one recipient."""
    if history.last.is_positive:
        return Delivered()
    # RFC 5321 section 4.2.1: 5yz means "SHOULD NOT repeat the exact request".
    if history.last.is_permanent and not schedule.soft_bounce:
        return Bounce(history.last.status or "5.0.0")
    age = now - history.created
    if age >= schedule.maximum_age:
        return Bounce(EXPIRED_STATUS, expired=True)
    left = schedule.maximum_age - age  # the last attempt happens at the deadline
    span = min(wait(history.tries, history.key, schedule), left)
    until_warning = schedule.warn_after - age
    if timedelta(0) < until_warning < span:
        span = until_warning  # so that the author hears of the delay when it is one
    return RetryAt(now + span)


def wait(tries: int, key: str, schedule: Schedule) -> timedelta:
    """How long after the given attempt the next one comes: doubling, capped, spread."""
    doubled = schedule.first * 2.0 ** min(max(tries, 1) - 1, 30)
    return _spread(min(doubled, schedule.longest), f"{key}/{tries}")


def pause(failures: int, hop: str) -> timedelta:
    """How long a next hop that cannot be reached is left alone before one mail probes it."""
    doubled = _FIRST_PAUSE * 2.0 ** min(max(failures, 1) - 1, 30)
    return _spread(min(doubled, _LONGEST_PAUSE), f"{hop}/{failures}")


def is_late(created: datetime, now: datetime, schedule: Schedule) -> bool:
    """Whether the author ought to hear that delivery is delayed (RFC 3461 section 4.1, DELAY)."""
    return bool(schedule.warn_after) and now - created >= schedule.warn_after


def _spread(span: timedelta, key: str) -> timedelta:
    share = zlib.crc32(key.encode("utf-8", "surrogateescape")) / 0xFFFFFFFF
    return span * (1 - _SPREAD + 2 * _SPREAD * share)
