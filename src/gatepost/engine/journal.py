"""Notes what happens: one log line per event, and whoever else wants to hear it.

Events come from the closed list in `gatepost.events`; a field never carries a subject,
a body or a key, so neither does the log.  Noting never fails: a log that cannot be
written (full disk, closed pipe) must not turn accepted mail into a 451, or delivered into lost.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TextIO, cast

import structlog

from gatepost.events import Event, Name

Observer = Callable[[Event], None]
Clock = Callable[[], datetime]

_LEVELS = {
    Name.MESSAGE_REFUSED: "warning",
    Name.MESSAGE_DEFERRED: "warning",
    Name.DELIVERY_FAILED: "warning",
    Name.CERTIFICATE_REFUSED: "warning",
    Name.FOLDER_REJECTED: "warning",
    Name.SOURCE_SKIPPED: "warning",
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
        with suppress(Exception):
            getattr(self._log, _LEVELS.get(name, "info"))(str(name), **shown)
        for observer in self._observers:
            with suppress(Exception):
                observer(event)
        return event


def reason_of(error: Exception) -> str:
    """What to log of an unexpected error: not its repr, which may hold the octets it was about."""
    return f"{type(error).__name__}: {error}"[:500]


class _Stream:
    """Standard error, as long as somebody takes what is written there."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or lose the line."""
        with suppress(OSError, ValueError):  # full, closed by its reader, closed by us
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what could be written."""
        with suppress(OSError, ValueError):
            self._stream.flush()


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
        # One write for a line and its end: other workers write to the same place.
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _Stream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
