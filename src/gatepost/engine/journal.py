"""Notes what happens: one log line per event, and whoever else wants to hear it.

Events come from the closed list in `gatepost.events`; a field never carries a subject,
a body or a key, so neither does the log.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from gatepost.events import Event, Name

Observer = Callable[[Event], None]
Clock = Callable[[], datetime]

_LEVELS = {
    Name.MESSAGE_REFUSED: "warning",
    Name.MESSAGE_DEFERRED: "warning",
    Name.DELIVERY_FAILED: "warning",
    Name.SERVICE_ERROR: "error",
}


class Journal:
    """Writes events to the log and passes them to observers (the demo's page, counters)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log = structlog.get_logger("gatepost")
        self._observers: list[Observer] = []

    def observe(self, observer: Observer) -> None:
        """Have every further event passed to `observer`."""
        self._observers.append(observer)

    def note(self, name: Name, queue_id: str = "", **fields: Any) -> Event:
        """Note that something happened now; returns the event for the decision records."""
        event = Event(name, self._clock(), queue_id, fields)
        shown = {name: value for name, value in fields.items() if value not in (None, "")}
        if queue_id:
            shown["queue_id"] = queue_id
        getattr(self._log, _LEVELS.get(name, "info"))(str(name), **shown)
        for observer in self._observers:
            observer(event)
        return event


def configure_log(form: str = "text", level: str = "info") -> None:
    """Send the log to standard error as text or JSON lines, UTC times first."""
    renderer: Any = structlog.processors.JSONRenderer()
    if form == "text":
        renderer = structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "event", "queue_id"],
            drop_missing=True,
            bool_as_flag=False,
        )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
