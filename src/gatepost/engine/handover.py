"""What one process leaves to the next: listening sockets, the configuration's text, workers.

A supervisor hands it to its workers and, when it makes room for a newer version of
itself, to its successor (execve keeps process and children).  Descriptors are inherited;
one environment variable names them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from gatepost.net.bind import Sockets, adopt

VARIABLE = "GATEPOST_INHERITED"
# What systemd told the supervisor concerns no worker.
OURS_ALONE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True, slots=True)
class Heir:
    """A running worker that changes its supervisor."""

    pid: int
    channel: int
    is_retiring: bool


@dataclass(frozen=True, slots=True)
class Room:
    """A running key process that changes its supervisor."""

    pid: int
    channel: int
    name: str  # of its socket
    is_retiring: bool


@dataclass(frozen=True, slots=True)
class Handover:
    """Everything inherited; only a supervisor's successor gets heirs, lock, asker and rooms."""

    text: str  # of the configuration in force, which the file may have left behind
    sockets: Mapping[str, Sockets]  # by the `door.key` of their listener
    heirs: Sequence[Heir] = ()
    lock: int = -1  # the descriptor that keeps other supervisors away
    asker: int = -1  # who waits to hear that the successor runs
    keys: str = ""  # the name of the key process's socket
    rooms: Sequence[Room] = ()  # key processes, for a supervisor's successor
    withheld: Sequence[str] = ()  # environment variables that are not for workers
    _copies: list[int] = field(default_factory=list, init=False)

    def environment(self) -> dict[str, str]:
        """The environment of the process that inherits; call `close` when it has."""
        names = {
            "text": self._written(),
            "sockets": {
                address: [self._inherited(one.fileno()) for one in sockets]
                for address, sockets in self.sockets.items()
            },
            "heirs": [
                [one.pid, self._inherited(one.channel), one.is_retiring] for one in self.heirs
            ],
            "lock": self._inherited(self.lock),
            "asker": self._inherited(self.asker),
            "keys": self.keys,
            "rooms": [
                [one.pid, self._inherited(one.channel), one.name, one.is_retiring]
                for one in self.rooms
            ],
        }
        return {**os.environ, VARIABLE: json.dumps(names)}

    def for_child(self) -> dict[str, str]:
        """The same for a worker or key process."""
        kept = {*OURS_ALONE, *self.withheld}
        return {name: value for name, value in self.environment().items() if name not in kept}

    def close(self) -> None:
        """Drop the inheritable copies: further children must not have them."""
        while self._copies:
            os.close(self._copies.pop())

    @classmethod
    def take(cls) -> Self | None:
        """What this process has inherited, once."""
        said = os.environ.pop(VARIABLE, "")
        if not said:
            return None
        names = json.loads(said)
        sockets = {
            address: tuple(map(adopt, numbers)) for address, numbers in names["sockets"].items()
        }
        heirs = [Heir(*one) for one in names["heirs"]]
        rooms = [Room(*one) for one in names.get("rooms", ())]
        lines = [*(one.channel for one in heirs), *(one.channel for one in rooms)]
        for number in (names["lock"], names["asker"], *lines):
            if number >= 0:
                os.set_inheritable(number, False)
        with os.fdopen(names["text"], encoding="utf-8") as file:
            file.seek(0)
            text = file.read()
        keys = names.get("keys", "")  # an earlier version knew of none
        return cls(text, sockets, heirs, names["lock"], names["asker"], keys, rooms)

    def _inherited(self, number: int) -> int:
        """A copy of the descriptor that survives execve."""
        if number < 0:
            return number
        copy = os.dup(number)
        os.set_inheritable(copy, True)
        self._copies.append(copy)
        return copy

    def _written(self) -> int:
        """The text in memory: a file would be read by whoever finds it."""
        number = os.memfd_create("gatepost.toml", os.MFD_CLOEXEC)
        try:
            view = memoryview(self.text.encode())
            while view:
                view = view[os.write(number, view) :]
            return self._inherited(number)
        finally:
            os.close(number)
