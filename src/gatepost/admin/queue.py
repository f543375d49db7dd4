"""The queue: list, show, retry, hold, quarantine, release, delete, while `serve` runs or not.

Works on addresses, sizes and replies; bodies stay sealed, so the vault's key is not needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from gatepost.config import load
from gatepost.engine.backend import control as control_of
from gatepost.errors import ConfigError
from gatepost.flow.decision import Decision
from gatepost.mail.address import domain_key
from gatepost.mail.reply import Reply
from gatepost.store.contract import QueueControl
from gatepost.store.queue_change import ALL, Cause
from gatepost.store.queue_item import Item, Record

Verb = Literal["retry", "hold", "quarantine", "release", "delete"]
WITH_REASON: tuple[Verb, ...] = ("quarantine", "release", "delete")  # of quarantined mail


@dataclass(frozen=True, slots=True)
class Items:
    """Items of the queue."""

    items: tuple[Item, ...]
    now: datetime

    def as_data(self) -> list[dict[str, Any]]:
        """Values JSON can carry."""
        return [item_data(one, self.now) for one in self.items]


@dataclass(frozen=True, slots=True)
class Shown:
    """One message's items and what was decided about it."""

    items: tuple[Item, ...]
    records: tuple[Record, ...]
    now: datetime

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "items": [item_data(one, self.now) for one in self.items],
            "records": [record_data(one) for one in self.records],
        }


@dataclass(frozen=True, slots=True)
class Trace:
    """What was decided and what happened about a message, oldest first."""

    queue_id: str
    records: tuple[Record, ...]
    waiting: tuple[Item, ...]

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions among the records."""
        return tuple(found for one in self.records if (found := decision(one)) is not None)

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "queue_id": self.queue_id,
            "records": [record_data(one) for one in self.records],
            "waiting": [one.id for one in self.waiting],
        }


def item_data(item: Item, now: datetime) -> dict[str, Any]:
    """An item as values JSON can carry."""
    replies = zip(item.envelope.recipients, item.last, strict=False)
    return {
        "id": item.id,
        "queue_id": item.queue_id,
        "state": item.state,
        "reason": item.reason,
        "hop": item.hop,
        "size": item.content.size,
        "created": item.created.isoformat(),
        "age": round((now - item.created).total_seconds()),
        "due": item.due.isoformat(),
        "tries": item.tries,
        "return_path": str(item.envelope.return_path or ""),
        "recipients": [
            {"address": str(who), "last_reply": str(reply) if reply else None}
            for who, reply in replies
        ],
    }


def record_data(record: Record) -> dict[str, Any]:
    """A record as values JSON can carry."""
    return {"at": record.at.isoformat(), "name": record.name, "data": json.loads(record.data)}


def decision(record: Record) -> Decision | None:
    """The decision a record holds, if it holds one."""
    data = json.loads(record.data)
    if not isinstance(data, dict) or "treatment" not in data or "done" not in data:
        return None
    return Decision.from_data(data)


def last_reply(item: Item) -> Reply | None:
    """The newest thing a next hop said about any of the recipients."""
    return next((one for one in item.last if one is not None), None)


def every(config: Path | None, now: datetime, state: str = "") -> Items:
    """Every item, oldest first, or those in one state."""
    found = _control(config).list()
    return Items(tuple(one for one in found if not state or one.state == state), now)


def show(config: Path | None, id_: str, now: datetime) -> Shown:
    """One item, or every item of one message; raises ConfigError when there is none."""
    control = _control(config)
    items = control.show(id_)
    if not items:
        raise ConfigError(
            f"{id_} is not in the queue", hint=f"gatepost trace {id_} tells what became of it"
        )
    return Shown(items, control.records(items[0].queue_id), now)


def change(config: Path | None, verb: Verb, id_: str, cause: Cause, now: datetime) -> Items:
    """Do it to an item, a message's items, a domain's, or `all`; the last two spare quarantine.

    Raises ConfigError for what must not be done so.
    """
    control = _control(config)
    if id_ == ALL:
        return Items(_changed(control, verb, id_, cause), now)
    found = control.show(id_)
    if found:
        _permit(verb, found, cause)
        return Items(_changed(control, verb, id_, cause), now)
    there = tuple(one for one in control.list() if _goes_to(one, id_))
    if not there:
        raise ConfigError(f"{id_} is not in the queue", hint="gatepost queue list")
    found = tuple(one for one in there if one.state != "quarantine")
    _permit(verb, found, cause)
    return Items(tuple(i for one in found for i in _changed(control, verb, one.id, cause)), now)


def _goes_to(item: Item, place: str) -> bool:
    """Whether it waits for this hop, or is for somebody in this domain."""
    if item.hop == place:
        return True
    domain = domain_key(place)
    return any(one.mailbox.domain_key == domain for one in item.envelope.recipients)


def _changed(control: QueueControl, verb: Verb, id_: str, cause: Cause) -> tuple[Item, ...]:
    match verb:
        case "retry":
            return control.retry(id_)
        case "hold":
            return control.hold(id_, cause)
        case "quarantine":
            return control.quarantine(id_, cause)
        case "release":
            return control.release(id_, cause)
        case "delete":
            return control.delete(id_, cause)


def _permit(verb: Verb, found: tuple[Item, ...], cause: Cause) -> None:
    states = {one.state for one in found}
    quarantined = "quarantine" in states or verb == "quarantine"
    if verb in WITH_REASON and quarantined and not cause.reason.strip():
        raise ConfigError(
            "quarantine needs a reason, which is recorded with your name",
            hint=f'gatepost queue {verb} ID --reason "..."',
        )
    if verb == "release" and states == {"waiting"}:
        raise ConfigError(
            f"{found[0].id} waits for a certificate and never leaves without",
            hint="gatepost cert import FILE releases it; gatepost queue delete ends the waiting",
        )


def trace(config: Path | None, queue_id: str) -> Trace:
    """What is known about a message, delivered or not; raises ConfigError for nothing."""
    control = _control(config)
    records, waiting = control.records(queue_id), control.show(queue_id)
    if not records and waiting:
        records = control.records(waiting[0].queue_id)
    if not records and not waiting:
        raise ConfigError(
            f"nothing is known about {queue_id}",
            hint="the queue id stands in Received: of the message and in the log",
        )
    return Trace(queue_id, records, waiting)


def _control(config: Path | None) -> QueueControl:
    return control_of(load(config))
