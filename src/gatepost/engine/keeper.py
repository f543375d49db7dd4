"""The key process: it alone opens the key-encryption key and the token, and lends what they open.

Standard input is a socket to the supervisor, as a worker's; its end means stop when the last
client has left.  Nobody else may look into its memory (PR_SET_DUMPABLE, prctl(2)).
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from gatepost.config import Settings, parse
from gatepost.engine import control
from gatepost.engine.custody import KEYS, LENT, custody, watch
from gatepost.engine.handover import Handover
from gatepost.engine.journal import configure_log
from gatepost.engine.line import ALIVE, BEAT, FAILED, READY, say
from gatepost.errors import GatepostError
from gatepost.events import Name
from gatepost.vault.desk import Desk
from gatepost.vault.seal import Sealer
from gatepost.vault.server import Server
from gatepost.vault.subkey import Drawn

NAME: Final = b"gatepost-keys"  # as ps shows it
_CHANNEL: Final = 0
_LINGERING: Final = 60.0  # seconds for the last clients to leave
_PR_SET_DUMPABLE, _PR_SET_NAME = 4, 15
_log = structlog.get_logger("gatepost")


def keep(path: Path) -> int:
    """Lend keys until the supervisor says otherwise; returns the exit code."""
    handover = Handover.take()
    assert handover is not None, "only a supervisor starts this"
    settings = parse(handover.text, path, os.environ)
    configure_log(settings.log.format, settings.log.level)
    return keep_as_told(settings, handover.keys, socket.socket(fileno=_CHANNEL))


def keep_as_told(settings: Settings, name: str, line: socket.socket) -> int:
    """The same with a socket of this name, until the line ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # what the terminal sends is for the supervisor
    _hide()
    try:
        desk = _desk(settings)
        listening = control.bound(settings.gateway.state, name)
    except (GatepostError, OSError) as error:
        hint = error.fields.get("hint", "") if isinstance(error, GatepostError) else ""
        say(line, FAILED, error=str(error), hint=str(hint))
        return 2
    listening.listen(128)
    server = Server(listening, desk)
    server.start()
    say(line, READY)
    _until_told(line)
    end = time.monotonic() + _LINGERING
    while server.clients and time.monotonic() < end:
        time.sleep(0.05)
    with suppress(FileNotFoundError):
        (settings.gateway.state / name).unlink()
    return 0


def _desk(settings: Settings) -> Desk:
    """Raises KeyUnavailable."""
    key = watch(settings)
    key()
    lent = {one: Drawn(key.fresh, one) for one in LENT}
    return Desk(custody(settings, Sealer(Drawn(key.fresh, KEYS), KEYS)), lent)


def _until_told(line: socket.socket) -> None:
    """Show that this process lives, until the line ends."""
    line.setblocking(True)
    while True:
        if not select.select((line,), (), (), BEAT)[0]:
            say(line, ALIVE)
        elif not _heard(line):
            return


def _heard(line: socket.socket) -> bytes:
    try:
        return line.recv(4096)
    except OSError:
        return b""


def _hide() -> None:
    """No core dumps, and no debugger of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, NAME, 0, 0, 0)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        reason = f"others may look into the key process: {os.strerror(ctypes.get_errno())}"
        _log.error(Name.SERVICE_ERROR, service="keys", reason=reason)
