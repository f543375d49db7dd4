"""The line between commands and the running supervisor: a UNIX socket in the state folder.

One word goes in, one line of JSON comes back when it is done.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gatepost.errors import Unavailable

NAME = "control.sock"
WORDS = ("reload", "restart")
_MAXIMUM = 65536


def ask(state: Path, word: str, patience: float) -> Mapping[str, Any]:
    """Have the supervisor do something; raises Unavailable when none answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(patience)
        try:
            with _short(state) as path:
                line.connect(path)
            line.sendall(word.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n") and len(answer) < _MAXIMUM:
                if not (octets := line.recv(4096)):
                    break
                answer += octets
        except TimeoutError as error:
            raise Unavailable(f"the gateway did not answer within {patience:.0f} s") from error
        except OSError as error:
            raise Unavailable(
                f"no gateway runs on {state}: {error.strerror}",
                hint="gatepost serve, or systemctl start gatepost, starts one",
            ) from error
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable("the gateway ended before it was done", hint="its log says why")
    return found


def listening(state: Path) -> socket.socket:
    """The supervisor's end; only the owner of the state folder reaches it."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            (state / NAME).unlink()
        mask = os.umask(0o177)
        try:
            with _short(state) as path:
                line.bind(path)
        finally:
            os.umask(mask)
        line.listen(16)
        line.setblocking(False)
    except BaseException:
        line.close()
        raise
    return line


def answer(line: socket.socket, **fields: object) -> None:
    """Answer who asked, if still there."""
    with suppress(OSError), line:
        line.setblocking(True)
        line.settimeout(1)
        line.sendall(json.dumps(fields).encode() + b"\n")


@contextmanager
def _short(state: Path) -> Iterator[str]:
    """A path to the socket that fits into 107 octets, however deep the folder is."""
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{NAME}"
    finally:
        os.close(folder)
