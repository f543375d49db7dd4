"""A queued mail on its way to a next hop, whose last octet is only given while it is ours.

Whoever was paused or cut off in the middle of a transaction may find that another node has
taken the mail over: then the body must not end, or the mail would arrive twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gatepost.errors import Unavailable
from gatepost.mail.content import Content


@dataclass(frozen=True, slots=True)
class Guarded:
    """Content that fails at its end when the item is no longer held."""

    content: Content
    is_held: Callable[[], bool]

    @property
    def size(self) -> int:
        """How many octets there are."""
        return self.content.size

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets; raises Unavailable behind the last."""
        yield from self.content.chunks()
        if not self.is_held():
            raise Unavailable("another node may have taken the mail over")
