"""The administrator's verbs as statements, the same for every database.

Each is one short transaction; a store says how it is carried out, and in which dialect.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gatepost.store import queue_change as change
from gatepost.store import queue_row
from gatepost.store.queue_change import UNSAID, Cause
from gatepost.store.queue_item import Item, State

Changes = tuple[queue_row.Statement, ...]  # the change itself, then what it entails


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a database is told."""

    make_due: str
    move: str
    delete: str
    insert_record: str


class Verbs(ABC):
    """What is done to items that are named."""

    def __init__(self, dialect: Dialect, clock: Callable[[], datetime]) -> None:
        self._dialect, self._clock = dialect, clock

    def retry(self, id_: str) -> tuple[Item, ...]:
        """Make items due now, and have hops that are down tried at once."""
        now = queue_row.milliseconds(self._clock())
        return self._each(
            id_, change.RETRIED, lambda item: ((self._dialect.make_due, (now, item.number)),)
        )

    def hold(self, id_: str, cause: Cause = UNSAID) -> tuple[Item, ...]:
        """Keep items until they are released."""
        return self._moved("hold", id_, change.HELD, cause, lambda _: "hold")

    def quarantine(self, id_: str, cause: Cause) -> tuple[Item, ...]:
        """Keep items until somebody releases or deletes them with a reason."""
        return self._moved("quarantine", id_, change.QUARANTINED, cause, lambda _: "quarantine")

    def release(self, id_: str, cause: Cause = UNSAID) -> tuple[Item, ...]:
        """Let kept items go on; corrupt ones are tried again, too."""
        return self._moved("release", id_, change.RELEASED, cause, change.freed)

    def delete(self, id_: str, cause: Cause = UNSAID) -> tuple[Item, ...]:
        """Remove items for ever; nobody is told."""
        now = self._clock()
        return self._each(
            id_,
            change.DELETED,
            lambda item: (
                (self._dialect.delete, (item.number,)),
                self._noted("delete", item, cause, now),
            ),
        )

    def _moved(
        self,
        verb: str,
        id_: str,
        states: tuple[State, ...],
        cause: Cause,
        to: Callable[[Item], State],
    ) -> tuple[Item, ...]:
        now = self._clock()
        due, reason = queue_row.milliseconds(now), change.why(verb, cause)
        return self._each(
            id_,
            states,
            lambda item: (
                (self._dialect.move, (to(item), reason, due, item.number, item.state)),
                self._noted(verb, item, cause, now),
            ),
        )

    def _noted(self, verb: str, item: Item, cause: Cause, now: datetime) -> queue_row.Statement:
        _, values = queue_row.insert_record(change.record(verb, item, cause, now))
        return self._dialect.insert_record, values

    @abstractmethod
    def _each(
        self, id_: str, states: tuple[State, ...], changing: Callable[[Item], Changes]
    ) -> tuple[Item, ...]:
        """Change every item of this id that is in one of these states; gives those changed."""
