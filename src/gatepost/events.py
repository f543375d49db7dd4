"""The closed list of things that can be logged, audited and counted.

An event carries identifiers and figures, never subjects, bodies or keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Name(StrEnum):
    """Every event Gatepost knows."""

    MESSAGE_ACCEPTED = "message.accepted"
    MESSAGE_REFUSED = "message.refused"
    MESSAGE_DEFERRED = "message.deferred"
    MESSAGE_HELD = "message.held"
    MESSAGE_WAITING = "message.waiting"
    MESSAGE_DISCARDED = "message.discarded"
    MESSAGE_DECIDED = "message.decided"
    QUEUE_CHANGED = "queue.changed"
    DELIVERY_DONE = "delivery.done"
    DELIVERY_RETRY = "delivery.retry"
    DELIVERY_FAILED = "delivery.failed"
    CERTIFICATE_REQUESTED = "certificate.requested"
    CERTIFICATE_WAITING = "certificate.waiting"
    CERTIFICATE_REFUSED = "certificate.refused"
    CERTIFICATE_ISSUED = "certificate.issued"
    CERTIFICATE_ADVISED = "certificate.advised"
    CERTIFICATE_ENDING = "certificate.ending"
    CERTIFICATE_HARVESTED = "certificate.harvested"
    CERTIFICATE_CHANGED = "certificate.changed"
    CERTIFICATE_HELD = "certificate.held"
    REVOCATION_UNKNOWN = "revocation.unknown"
    AUTHORITY_LIST_DUE = "authority.list_due"
    FOLDER_TAKEN = "folder.taken"
    FOLDER_REJECTED = "folder.rejected"
    SOURCE_SKIPPED = "source.skipped"
    SOURCE_BACK = "source.back"
    FEDERATION_PINNED = "federation.pinned"
    FEDERATION_REFUSED = "federation.refused"
    CHALLENGE_ANSWERED = "challenge.answered"
    SESSION_REFUSED = "session.refused"
    SENDER_SLOWED = "sender.slowed"
    SERVICE_STARTED = "service.started"
    SERVICE_RELOADED = "service.reloaded"
    SERVICE_STOPPED = "service.stopped"
    SERVICE_ERROR = "service.error"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a message or a service."""

    name: Name
    at: datetime
    queue_id: str = ""
    fields: dict[str, str | int | float | bool | None] = field(default_factory=dict)
