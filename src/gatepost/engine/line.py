"""What a supervisor's children say: lines of JSON go up, a word or the line's end comes down."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Final

READY, FAILED, ALIVE, RETIRE = "ready", "failed", "alive", "retire"
BEAT: Final = 5.0  # seconds between two signs of life


def say(line: socket.socket, word: str, **fields: object) -> None:
    """Tell the supervisor, if it is still there; it is never waited for."""
    with suppress(OSError):
        octets = json.dumps({"word": word, **fields}).encode() + b"\n"
        line.send(octets, socket.MSG_DONTWAIT)
