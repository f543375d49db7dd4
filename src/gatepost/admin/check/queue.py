"""Checks of the queue; the queue itself is only read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from gatepost.admin.check.registry import Answer, Installation, bad, check, good, warn
from gatepost.engine.backend import control

_OLD = timedelta(hours=1)
_MANY = 1000


@check("QUE-01", "queue moves")
def moves(place: Installation) -> Iterator[Answer]:
    """Counts waiting mail and looks at the oldest.

    Old mail means that a next hop does not take it; `gatepost queue list` shows its last reply.
    """
    items = [one for one in control(place.right).list() if one.state == "active"]
    if not items:
        yield good("nothing waits")
        return
    oldest = place.now - min(one.created for one in items)
    text = f"{len(items)} waiting, the oldest for {_hours(oldest)}"
    if oldest > _OLD or len(items) > _MANY:
        yield warn(text, "gatepost queue list shows why; HOP-01 tries the next hops")
    else:
        yield good(text)


@check("QUE-02", "nothing waits for a decision")
def is_decided(place: Installation) -> Iterator[Answer]:
    """Held and quarantined mail waits for somebody to release or delete it.

    Corrupt mail waits for somebody to look, and some for a certificate of its recipient.
    """
    items = control(place.right).list()
    held = [one for one in items if one.state in {"hold", "quarantine"}]
    waiting = [one for one in items if one.state == "waiting"]
    corrupt = [one for one in items if one.state == "corrupt"]
    if corrupt:
        yield bad(
            f"{len(corrupt)} corrupt, first {corrupt[0].id}: {corrupt[0].reason}",
            f"gatepost queue show {corrupt[0].id}",
        )
    if held:
        yield warn(
            f"{len(held)} held or quarantined, first {held[0].id}: {held[0].reason}",
            f"gatepost queue release {held[0].id}, or delete",
        )
    if waiting:
        yield warn(
            f"{len(waiting)} without certificate, first {waiting[0].id}: {waiting[0].reason}",
            "gatepost cert import FILE releases what it is for",
        )
    if not (held or corrupt or waiting):
        yield good("nothing is held, quarantined, corrupt or without certificate")


def _hours(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
