"""What every queue engine promises, so that delivery need not know which one it has.

`tests/contract` runs one suite against each engine.  Methods that are not `async` and not
said to return at once may block: call them in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from gatepost.flow.retry import Schedule
from gatepost.store.queue_change import Cause
from gatepost.store.queue_item import Item, NewItem, Record, Settlement
from gatepost.store.spool import Spool
from gatepost.store.worker_queue import Recovered


class MailQueue(Protocol):
    """Durable items: `accept`, `due` and `late` lease them, `settle` and `release` end that."""

    spool: Spool  # where arriving bodies wait
    changed: Callable[[], object]  # called from another thread when somebody else wrote

    async def accept(
        self,
        messages: Sequence[NewItem],
        records: Sequence[Record] = (),
        settlements: Sequence[Settlement] = (),
    ) -> tuple[Item, ...]:
        """Make all of it durable or none, leased to the caller; raises Unavailable."""
        ...

    def settle(self, *settlements: Settlement, records: Sequence[Record] = ()) -> None:
        """Write this with the next commit; returns at once."""
        ...

    async def flush(self) -> None:
        """Return when everything settled before is durable."""
        ...

    def due(self, hop: str, now: datetime, limit: int) -> tuple[Item, ...]:
        """Lease up to `limit` items of this hop that are due, oldest first."""
        ...

    def late(self, hop: str, now: datetime, schedule: Schedule, limit: int) -> tuple[Item, ...]:
        """Lease items whose author must hear of a delay or a failure."""
        ...

    def waiting(self, now: datetime, limit: int) -> tuple[Item, ...]:
        """Lease up to `limit` items that wait for a key and are due to be looked at."""
        ...

    def release(self, items: Iterable[Item]) -> None:
        """Give leases back; returns at once."""
        ...

    def holds(self, item: Item) -> bool:
        """Whether nobody else can have taken the item over; returns at once."""
        ...

    def gone(self, items: Iterable[Item]) -> frozenset[int]:
        """Numbers of those items that are not ours to deliver any more."""
        ...

    def hops(self, due: datetime | None = None) -> frozenset[str]:
        """Every next hop that active items wait for; with `due` those with items due by then."""
        ...

    def nudges(self) -> int:
        """A number that grows when somebody asks that waiting mail be tried at once."""
        ...

    def counts(self) -> dict[tuple[str, str], int]:
        """How many items there are by state and hop."""
        ...

    def has_room(self) -> bool:
        """Whether another message can be taken; returns at once."""
        ...

    def opened(self, item: Item) -> Item:
        """The item with a body known to be whole; raises Corrupt."""
        ...

    def recover(self) -> Recovered:
        """Put everything in accord after a start."""
        ...

    async def prune(self, retention: timedelta) -> int:
        """Remove records older than that; returns how many."""
        ...

    def close(self) -> None:
        """Write everything settled, then let go."""
        ...


class QueueControl(Protocol):
    """What an administrator does from another process."""

    def list(self) -> tuple[Item, ...]:
        """Every item, oldest first."""
        ...

    def show(self, id_: str) -> tuple[Item, ...]:
        """The items with this id."""
        ...

    def records(self, queue_id: str) -> tuple[Record, ...]:
        """What was decided and what happened about a message, oldest first."""
        ...

    def retry(self, id_: str) -> tuple[Item, ...]:
        """Make items due now."""
        ...

    def hold(self, id_: str, cause: Cause = ...) -> tuple[Item, ...]:
        """Keep items until they are released."""
        ...

    def quarantine(self, id_: str, cause: Cause) -> tuple[Item, ...]:
        """Keep items until somebody releases or deletes them with a reason."""
        ...

    def release(self, id_: str, cause: Cause = ...) -> tuple[Item, ...]:
        """Let kept items go on, undecided ones to waiting for their key."""
        ...

    def delete(self, id_: str, cause: Cause = ...) -> tuple[Item, ...]:
        """Remove items for ever."""
        ...
