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
            _connect(line, state, NAME)
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
    line = bound(state, NAME)
    line.listen(16)
    line.setblocking(False)
    return line


def bound(state: Path, name: str) -> socket.socket:
    """A socket of this name in the state folder, in place of one that was there."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            (state / name).unlink()
        mask = os.umask(0o177)
        try:
            with _short(state, name) as path:
                line.bind(path)
        finally:
            os.umask(mask)
    except BaseException:
        line.close()
        raise
    return line


def reached(state: Path, name: str) -> socket.socket:
    """A connection to the socket of this name; raises OSError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _connect(line, state, name)
    except BaseException:
        line.close()
        raise
    return line


def _connect(line: socket.socket, state: Path, name: str) -> None:
    with _short(state, name) as path:
        line.connect(path)


def answer(line: socket.socket, **fields: object) -> None:
    """Answer who asked, if still there."""
    with suppress(OSError), line:
        line.setblocking(True)
        line.settimeout(1)
        line.sendall(json.dumps(fields).encode() + b"\n")


@contextmanager
def _short(state: Path, name: str) -> Iterator[str]:
    """A path to the socket that fits into 107 octets, however deep the folder is."""
    folder = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{name}"
    finally:
        os.close(folder)
