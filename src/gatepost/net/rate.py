"""How often: token buckets, one for each peer, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict


class Rate:
    """So many a minute for each name, and as many at once."""

    __slots__ = ("_buckets", "_capacity", "_limit")

    def __init__(self, per_minute: float, capacity: int = 10_000) -> None:
        self._limit, self._capacity = per_minute, capacity
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, name: str, now: float) -> bool:
        """Whether one more is allowed now, without taking it."""
        return not self._limit or self._tokens(name, now) >= 1

    def take(self, name: str, now: float) -> bool:
        """Take one; False when there are too many.  No limit allows everything."""
        if not self._limit:
            return True
        tokens = self._tokens(name, now)
        is_allowed = tokens >= 1
        self._buckets[name] = (tokens - is_allowed, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._capacity:
            self._buckets.popitem(last=False)  # the longest unheard of: likely full again
        return is_allowed

    def _tokens(self, name: str, now: float) -> float:
        tokens, then = self._buckets.get(name, (self._limit, now))
        return min(self._limit, tokens + (now - then) * self._limit / 60)
