"""The key process's door: a thread for each client, none of whom can hold up another.

Clients are processes of the same user (SO_PEERCRED, unix(7)), or root.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gatepost.errors import Malformed
from gatepost.vault.frame import Frame, Line

MAXIMUM: Final = 256  # clients at a time
PATIENCE: Final = 10.0  # seconds for a frame that has begun
IDLE: Final = 600.0  # seconds without a question
_CREDENTIALS: Final = struct.Struct("3i")
_ROOT: Final = 0


class Server:
    """Answers whoever comes to a listening socket."""

    def __init__(
        self,
        listening: socket.socket,
        answer: Callable[[Frame], Frame],
        *,
        patience: float = PATIENCE,
        maximum: int = MAXIMUM,
    ) -> None:
        """`answer` raises nothing but Malformed, which ends the conversation."""
        self._listening, self._answer, self._patience = listening, answer, patience
        self._free = threading.BoundedSemaphore(maximum)
        self._count, self._lock = 0, threading.Lock()

    @property
    def clients(self) -> int:
        """How many are connected."""
        return self._count

    def start(self) -> None:
        """Answer from now on, in threads that end with the process."""
        threading.Thread(target=self._accept, name="door", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                if self._listening.fileno() < 0:
                    return
                time.sleep(0.1)  # no descriptor is free
                continue
            if not _is_ours(line) or not self._free.acquire(blocking=False):
                line.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()
            except RuntimeError:  # the process may have no more: one client less, not all
                self._free.release()
                line.close()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            self._count += 1
        try:
            with suppress(OSError, Malformed), client:
                line = Line(client)
                while (asked := line.hear(self._patience, IDLE)) is not None:
                    line.say(self._answer(asked).octets(), self._patience)
        finally:
            with self._lock:
                self._count -= 1
            self._free.release()


def _is_ours(line: socket.socket) -> bool:
    octets = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(octets)
    return uid in {os.geteuid(), _ROOT}
