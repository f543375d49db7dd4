"""Notice what other nodes changed in the directory: heard at once, asked for every second.

A thread and a connection of its own.  While the database is away nobody knows what changed,
and after some seconds nobody may decide by what is remembered: mail then waits (451).
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import Final

import structlog

from gatepost.errors import Unavailable
from gatepost.events import Name
from gatepost.store.generation import KEY
from gatepost.store.postgres_clock import now
from gatepost.store.postgres_database import Connection

CHANGED: Final = "gatepost_directory"

_TICK = 1.0  # seconds between questions, should a notice be lost
_STALE = 5.0  # seconds without an answer after which what is remembered counts no more
_END = 2.0  # seconds to hear that it is over
_START = 10.0  # seconds for the first answer
_SELECT: Final = "SELECT value FROM setting WHERE key = %s"

_log = structlog.get_logger("gatepost.store")


class Watch:
    """The number of the last change.  Starts when first asked."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._value = 0
        self._known_until = 0.0
        self._known = threading.Event()
        self._thread: threading.Thread | None = None
        self._wake: tuple[int, int] | None = None
        self._why = ""

    def read(self) -> int:
        """The number; raises Unavailable when the database was silent for too long."""
        if not self._known.is_set():
            self._start()
            self._known.wait(_START)
        if now() > self._known_until:
            raise Unavailable(f"the directory's database cannot be reached: {self._why}")
        return self._value

    def note(self, number: int) -> None:
        """This node's own change, which it must see at once; numbers never fall."""
        with self._lock:
            self._value = max(self._value, number)

    def close(self) -> None:
        """Stop listening."""
        if self._thread is not None and self._wake is not None:
            wake, self._wake = self._wake, None
            os.write(wake[1], b"x")
            self._thread.join(_END)
            if self._thread.is_alive():
                return  # a database that does not answer keeps it longer; it still needs the pipe
            for end in wake:
                os.close(end)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._wake = os.pipe()
            self._thread = threading.Thread(
                target=self._run, args=(self._wake[0],), name="directory watch", daemon=True
            )
            self._thread.start()

    def _run(self, wake: int) -> None:
        stopped = is_told = False
        while not stopped:
            try:
                with self._connect() as connection:
                    is_told = False
                    stopped = self._listen(connection, wake)
            except Exception as error:  # noqa: BLE001 - without this thread the node is blind
                self._why = " ".join(str(error).split())
                if not is_told:  # an outage is told once, not every second
                    reason = f"directory: {self._why}"
                    _log.error(Name.SERVICE_ERROR, service="store.postgres", reason=reason)
                is_told = True
                self._known.set()
                stopped = bool(select.select([wake], [], [], _TICK)[0])

    def _listen(self, connection: Connection, wake: int) -> bool:
        """Follow the changes; returns when told to stop."""
        connection.autocommit = True
        connection.execute(f"LISTEN {CHANGED}".encode())
        while True:
            asked = now()
            row = connection.execute(_SELECT, (KEY,)).fetchone()
            self.note(int(str(row[0])) if row else 0)
            self._known_until = asked + _STALE
            self._known.set()
            if _heard(connection):
                continue
            ready, _, _ = select.select([connection.fileno(), wake], [], [], _TICK)
            if wake in ready:
                return True


def _heard(connection: Connection) -> bool:
    """Whether a notice has come since we last looked."""
    return len(list(connection.notifies(timeout=0))) > 0
