"""What the queue of a worker does alike on every engine: a lock, questions, items and bodies.

An engine adds how it leases, writes and reads (`store.queue`, `store.postgres_queue`).
"""

from __future__ import annotations

import fcntl
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import structlog

from gatepost.errors import ConfigError, Unavailable
from gatepost.events import Name
from gatepost.flow.retry import Schedule
from gatepost.mail.content import Content, Octets, join
from gatepost.store import queue_row
from gatepost.store.queue_body import StoredBody
from gatepost.store.queue_item import Item, NewItem
from gatepost.store.sealing import Seal
from gatepost.store.spool import Spool, free

_ROOM = 64 * 1024 * 1024  # octets that must stay free on the disk before another DATA

_log = structlog.get_logger("gatepost.store")


class Statements(Protocol):
    """An engine's SQL for the questions that all of them answer alike."""

    @property
    def SELECT_HOPS(self) -> str: ...  # noqa: D102, N802  a module's constant
    @property
    def SELECT_HOPS_DUE(self) -> str: ...  # noqa: D102, N802
    @property
    def SELECT_NUDGE(self) -> str: ...  # noqa: D102, N802
    @property
    def SELECT_COUNTS(self) -> str: ...  # noqa: D102, N802
    @property
    def SELECT_BODY(self) -> str: ...  # noqa: D102, N802


class Taken(ConfigError):
    """Another process works on this queue."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start found."""

    waiting: int  # active items
    corrupt: int  # items whose body file is gone
    swept: int  # files nobody points at


class WorkerQueue(ABC):
    """One worker's part of the queue; its folder holds the lock and arriving bodies."""

    def __init__(
        self,
        folder: Path,
        seal: Seal,
        name: str,
        clock: Callable[[], datetime],
        statements: Statements,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = lock(folder / f"{name}.lock")
        self._folder = folder
        self._seal = seal
        self._clock = clock
        self._statements = statements
        self.spool = Spool(folder / f"{name}.bodies", seal)
        self.changed: Callable[[], object] = lambda: None  # called from another thread
        self._reading = threading.Lock()

    def hops(self, due: datetime | None = None) -> frozenset[str]:
        """Every next hop that active items wait for; with `due` those with items due by then."""
        if due is None:
            return frozenset(hop for (hop,) in self._read(self._statements.SELECT_HOPS))
        when = (queue_row.milliseconds(due),)
        return frozenset(hop for (hop,) in self._read(self._statements.SELECT_HOPS_DUE, when))

    def nudges(self) -> int:
        """How often somebody asked that waiting mail be tried at once."""
        ((found,),) = self._read(self._statements.SELECT_NUDGE)
        return int(found)

    def counts(self) -> dict[tuple[str, str], int]:
        """How many items there are by state and hop, on all nodes together."""
        rows = self._read(self._statements.SELECT_COUNTS)
        return {(state, hop): number for state, hop, number in rows}

    def has_room(self) -> bool:
        """Whether the disk has room for more; asked before DATA (452 4.3.1 otherwise)."""
        return free(self._folder) >= _ROOM

    def opened(self, item: Item) -> Item:
        """The item with a body known to be whole; blocks while it is read through.

        Raises Corrupt before a next hop has heard of the message.
        """
        content = item.content
        if isinstance(content, StoredBody):
            return replace(item, content=Octets(content.check()))
        if not isinstance(content, Octets):
            self._check(content)
        return item

    def _check(self, content: Content) -> None:
        """Read a large body through; raises Corrupt."""
        for _ in content.chunks():
            pass

    def _item(
        self,
        message: NewItem,
        number: int,
        id_: str,
        now: datetime,
        content: Content,
        *,
        path: str | None = None,
    ) -> Item:
        """A new item as it will stand in the table."""
        return Item(
            number=number,
            id=id_,
            queue_id=message.queue_id,
            hop=message.hop,
            envelope=message.envelope,
            content=content,
            created=now,
            due=now,
            last=(None,) * len(message.envelope.recipients),
            protected=message.protected,
            undecided=message.undecided,
            state=message.state,
            reason=message.reason,
            path=path,
        )

    def _stored_body(self, row: queue_row.Row) -> StoredBody:
        """A small body, read from its row when it is wanted."""
        number, id_ = row[0], row[1]
        return StoredBody(
            lambda: self._read(self._statements.SELECT_BODY, (number,)),
            id_,
            queue_row.bond_of(row),
            queue_row.size(row),
            self._seal,
        )

    def _restored(
        self, row: queue_row.Row, body: Callable[[queue_row.Row], Content]
    ) -> tuple[Item, ...]:
        """The item, or none: one damaged row must not keep a hop's other mail from leaving."""
        try:
            return (queue_row.restored(row, body),)
        except (ValueError, TypeError, LookupError) as error:
            number, queue_id = row[0], row[2]
            reason = f"the row cannot be read: {type(error).__name__}"
            _log.error(Name.SERVICE_ERROR, service="store.queue", queue_id=queue_id, reason=reason)
            self._give_up(number, reason)
            return ()

    def _tell(self) -> None:
        self.changed()

    def _unlock(self) -> None:
        number, self._lock = self._lock, -1
        if number >= 0:
            os.close(number)

    @abstractmethod
    def _read(self, sql: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Rows; raises Unavailable."""

    @abstractmethod
    def _give_up(self, number: int, reason: str) -> None:
        """Park an item of ours as corrupt."""


def joined(content: Content) -> Octets:
    """A small body in one piece; raises Unavailable when it is not as long as it said."""
    octets = Octets(join(content))
    if octets.size != content.size:
        raise Unavailable(f"content gave {octets.size} octets, not {content.size}")
    return octets


def lateness(now: datetime, schedule: Schedule) -> tuple[int, int]:
    """Mail from before these moments has expired, or its author must hear of a delay."""
    expired = now - schedule.maximum_age
    warned = now - min(schedule.warn_after or schedule.maximum_age, schedule.maximum_age)
    return queue_row.milliseconds(expired), queue_row.milliseconds(warned)


def ids(messages: Sequence[NewItem]) -> tuple[str, ...]:
    """One id each: the queue id, and ".2", ".3" for further items of the same message."""
    seen: dict[str, int] = {}
    out = []
    for message in messages:
        if message.id:
            out.append(message.id)
            continue
        nth = seen[message.queue_id] = seen.get(message.queue_id, 0) + 1
        out.append(message.queue_id if nth == 1 else f"{message.queue_id}.{nth}")
    return tuple(out)


def lock(path: Path) -> int:
    """Lock the file for this process; raises Taken when another one has it."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(number)
        raise Taken(
            f"another Gatepost already works on the queue {path.stem!r}",
            hint=f"stop that one (fuser {path} names its process), or give this one a [gateway]"
            " state folder of its own; queue commands work while it runs",
        ) from error
    return number
