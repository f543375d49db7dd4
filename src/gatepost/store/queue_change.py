"""What an administrator may do to an item in which state, and the record that he did.

Quarantined mail leaves only when named by itself; mail that waits for a key never leaves
by a word, only by the key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from gatepost.events import Name
from gatepost.store.queue_item import Item, Record, State

ALL = "all"

RETRIED: tuple[State, ...] = ("active", "waiting")
HELD: tuple[State, ...] = ("active", "waiting")
QUARANTINED: tuple[State, ...] = ("active", "hold", "waiting")
RELEASED: tuple[State, ...] = ("hold", "quarantine", "corrupt")
DELETED: tuple[State, ...] = ("active", "hold", "waiting", "quarantine", "corrupt")


@dataclass(frozen=True, slots=True)
class Cause:
    """Who asks for a change, and why."""

    reason: str = ""
    by: str = ""


UNSAID = Cause()


def why(verb: str, cause: Cause) -> str:
    """What the item shows as its reason from then on."""
    if verb == "release":
        return ""
    return cause.reason.replace("\0", "") or "held by the administrator"


def concerns(id_: str, item: Item, states: tuple[State, ...]) -> bool:
    """Whether what was asked of `id_` applies to this item of it."""
    return item.state in states and not (id_ == ALL and item.state == "quarantine")


def freed(item: Item) -> State:
    """The state in which an item goes on that nobody keeps any more."""
    return "waiting" if item.undecided else "active"


def record(verb: str, item: Item, cause: Cause, now: datetime) -> Record:
    """The trace a change leaves, for as long as records are kept."""
    data = {
        "id": item.id,
        "verb": verb,
        "was": item.state,
        "reason": cause.reason.replace("\0", "")[:500],
        "by": cause.by.replace("\0", "")[:200],
    }
    return Record(item.queue_id, now, Name.QUEUE_CHANGED, json.dumps(data))
