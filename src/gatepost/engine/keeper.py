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
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

import structlog

from gatepost.config import Settings, parse
from gatepost.engine import control
from gatepost.engine.custody import KEYS, LENT, custody, load_kek, watch
from gatepost.engine.handover import Handover
from gatepost.engine.journal import configure_log
from gatepost.engine.line import ALIVE, BEAT, FAILED, READY, say
from gatepost.errors import GatepostError, KeyUnavailable
from gatepost.events import Name
from gatepost.vault.desk import Desk
from gatepost.vault.seal import Sealer
from gatepost.vault.server import Server
from gatepost.vault.subkey import Drawn
from gatepost.vault.wrap import Locked, Passphrase, Typed

Ask = Callable[[], str]

NAME: Final = b"gatepost-keys"  # as ps shows it
_CHANNEL: Final = 0
_TRIES: Final = 3
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


def keep_as_told(settings: Settings, name: str, line: socket.socket, ask: Ask | None = None) -> int:
    """The same with a socket of this name, until the line ends.

    A passphrase may be asked for with `ask`; else the vault stays locked until one is brought.
    """
    vault = Vault(settings)
    if ask is not None and not vault.begin(ask):
        return 1
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # what the terminal sends is for the supervisor
    _hide()
    try:
        desk = vault.desk()
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


class Vault:
    """The key-encryption key, perhaps under a passphrase, and what is lent with it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._typed = Typed(_locked) if settings.vault.key_passphrase else None
        self._key = watch(settings, self._typed)

    def begin(self, ask: Ask) -> bool:
        """Ask for the passphrase, if one is needed; false when nobody wants to say it."""
        try:
            for _ in range(_TRIES):
                if not self._is_locked():
                    break
                self._try(ask())
        except KeyUnavailable:  # there is no terminal; or no key, which `desk` says
            return True
        except (KeyboardInterrupt, EOFError):
            return False
        return True

    def _try(self, passphrase: str) -> None:
        try:
            self.unlock(passphrase)
        except KeyUnavailable as error:
            sys.stderr.write(f"{error}\n")

    def desk(self) -> Desk:
        """Who answers; raises KeyUnavailable when the key is not there at all."""
        if self._is_locked():
            reason = "the vault is locked, mail waits with its senders: gatepost vault unlock"
            _log.error(Name.SERVICE_ERROR, service="keys", reason=reason)
        lent = {one: Drawn(self._key.fresh, one) for one in LENT}
        keys = custody(self._settings, Sealer(Drawn(self._key.fresh, KEYS), KEYS))
        return Desk(keys, lent, self.unlock if self._typed is not None else None)

    def unlock(self, passphrase: str) -> None:
        """Take it, when it is the right one; raises KeyUnavailable."""
        assert self._typed is not None
        given = Passphrase(passphrase)
        load_kek(self._settings, given)
        self._typed.remember(given)

    def _is_locked(self) -> bool:
        try:
            self._key()
        except Locked:
            return True
        return False


def _locked(_: bool) -> NoReturn:  # noqa: FBT001  a callback
    raise Locked


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
    with suppress(OSError, ValueError):  # forbidden by a unit, which then sets LimitCORE=
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NAME, NAME, 0, 0, 0)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        reason = f"others may look into the key process: {os.strerror(ctypes.get_errno())}"
        _log.error(Name.SERVICE_ERROR, service="keys", reason=reason)
