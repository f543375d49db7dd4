"""Who sends much that our keys do not open: each such mail may be a question to an oracle.

Nothing is refused, for a refusal would be an answer.  But from then on every encrypted mail
from there is answered after one and the same time, which says nothing about what was found
inside, and which is too slow for the thousands of questions such an attack needs.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from gatepost.flow.peel import SealedReport
from gatepost.flow.verdict import Outcome
from gatepost.smime.report import EncryptionReport

LIMIT = 20  # failures within the window that anybody may have
WINDOW = timedelta(hours=1)
PACE = 5.0  # seconds from the end of data to the reply, for those above the limit
MAXIMUM_ORIGINS = 10_000


class Suspicion:
    """One per process; remembers the last failures of each origin."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, deque[datetime]] = OrderedDict()

    def is_limited(self, peer: str, now: datetime) -> bool:
        """Whether encrypted mail from there is to be answered slowly."""
        found = self._failures.get(origin(peer))
        return found is not None and len(found) == LIMIT and now - found[0] < WINDOW

    def note(self, peer: str, now: datetime) -> bool:
        """Count a failure; true when this is the one that reaches the limit."""
        key, before = origin(peer), self.is_limited(peer, now)
        self._failures.setdefault(key, deque(maxlen=LIMIT)).append(now)
        self._failures.move_to_end(key)
        if len(self._failures) > MAXIMUM_ORIGINS:
            self._failures.popitem(last=False)
        return not before and self.is_limited(peer, now)


def origin(peer: str) -> str:
    """A host; of IPv6 its network, which is one customer's."""
    try:
        address = ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


def was_encrypted(outcomes: Iterable[Outcome]) -> bool:
    """Whether there was anything to open for our keys."""
    return any(
        isinstance(one, EncryptionReport) or (isinstance(one, SealedReport) and one.tried)
        for each in outcomes
        for one in each.message.findings
    )


def has_failed(outcomes: Iterable[Outcome]) -> bool:
    """Whether a key of ours was tried in vain."""
    return any(
        isinstance(one, SealedReport) and one.tried
        for each in outcomes
        for one in each.message.findings
    )
