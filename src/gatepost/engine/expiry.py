"""Tells once, 30, 14, 7 and 1 days before, that a certificate in use ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from gatepost.certificate import Certificate
from gatepost.engine.journal import Journal
from gatepost.events import Name
from gatepost.store.alert import Alerts

DAYS = (1, 7, 14, 30)  # the nearest first: who was away for weeks hears of each end once
PERIOD = 3600.0  # seconds between looks


def alert(
    alerts: Alerts, journal: Journal, now: datetime, *, more: Callable[[], tuple[Certificate, ...]]
) -> int:
    """Note what ends; on however many nodes, each is told by one.  Returns how many."""
    told = 0
    soon = now + timedelta(days=DAYS[-1])
    others = [one for one in more() if now <= one.not_after < soon]
    for one in dict.fromkeys((*alerts.ending(now, soon), *others)):
        left = one.not_after - now
        days = next(each for each in DAYS if left <= timedelta(days=each))
        if alerts.claim(one.fingerprint, days, now):
            told += 1
            journal.note(
                Name.CERTIFICATE_ENDING,
                subject=one.name,
                fingerprint=one.fingerprint,
                until=one.not_after.date().isoformat(),
                days=left.days,
            )
    return told
