"""What stands in the queue, and what can be settled about it.

An item is one future mail transaction: one message as it will go out, its recipients,
its next hop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from gatepost.mail.content import Content
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply

# Postfix's words, and two of ours: `waiting` for a key, `quarantine` until somebody says why not.
State = Literal["active", "hold", "waiting", "quarantine", "corrupt"]


@dataclass(frozen=True, slots=True)
class NewItem:
    """Something to be queued.  `hop` names a next hop; items of one hop share one destination.

    `protected` content was decrypted by us, or is owed encryption: nothing of it may
    appear in a DSN.  `undecided` content is as it came: it never leaves before the decision
    about it was made anew.
    """

    queue_id: str
    envelope: Envelope
    hop: str
    content: Content
    protected: bool = False
    state: State = "active"
    reason: str = ""
    undecided: bool = False
    id: str = ""  # empty: the queue id, numbered where one message becomes several items


@dataclass(frozen=True, slots=True)
class Item:
    """Something queued.  `last` holds each recipient's last reply, in the envelope's order."""

    number: int
    id: str  # the queue id, with ".2", ".3" when one message became several items
    queue_id: str
    hop: str
    envelope: Envelope
    content: Content = field(repr=False)
    created: datetime
    due: datetime
    last: tuple[Reply | None, ...]
    protected: bool = False
    undecided: bool = False
    state: State = "active"
    reason: str = ""
    tries: int = 0
    warned: bool = False  # a DSN told of the delay
    path: str | None = None  # the spool file, when the body is not in the row

    def still(self, replies: Mapping[Recipient, Reply]) -> Item:
        """The same item for these recipients only, each with its last reply."""
        return replace(self, envelope=self.envelope.to(*replies), last=tuple(replies.values()))


@dataclass(frozen=True, slots=True)
class Record:
    """A decision or event about a message, kept beside it; never content."""

    queue_id: str
    at: datetime
    name: str
    data: str  # JSON text


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do for the item: it goes, body and all."""

    item: Item


@dataclass(frozen=True, slots=True)
class Retried:
    """The item as it is to stand: the recipients left, when it is due, how often it was tried."""

    item: Item


@dataclass(frozen=True, slots=True)
class Parked:
    """The item waits for somebody to decide (`hold`) or to look (`corrupt`), or for a key."""

    item: Item
    state: Literal["hold", "waiting", "corrupt"]
    reason: str


Settlement = Done | Retried | Parked
