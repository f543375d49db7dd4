"""Tell systemd how the service is: sd_notify(3), without its library."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Sends datagrams to the socket systemd named; without one it does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._path = environment.get("NOTIFY_SOCKET", "")
        self.watchdog = _watchdog(environment)

    def ready(self, status: str) -> None:
        """The service does what it is for, also after a reload that failed."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Between this and `ready` the configuration changes."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reloading")

    def stopping(self) -> None:
        """The service ends."""
        self._send("STOPPING=1", "STATUS=finishing what is under way")

    def alive(self) -> None:
        """The service is not stuck."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._path:
            return
        # A name in the abstract name space is written with @.
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        text = "\n".join(line.replace("\n", " ") for line in lines)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode(), address)


def _watchdog(environment: Mapping[str, str]) -> float:
    """Seconds within which systemd wants to hear from us; 0 means that it does not."""
    text = environment.get("WATCHDOG_USEC", "")
    process = environment.get("WATCHDOG_PID", "")
    if not text.isdecimal() or (process and process != str(os.getpid())):
        return 0.0
    return int(text) / 1_000_000
