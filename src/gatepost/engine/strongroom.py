"""The key process, seen from its supervisor.

It is there before the workers of its crews and ends after the last of them.  If it dies,
or gives no sign of life, another takes its place behind the same name.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from gatepost.config import Settings
from gatepost.engine import terminal
from gatepost.engine.crew import (
    LIVED,
    PATIENCE,
    PAUSE,
    Child,
    Worker,
    forked,
    replacement,
    spawned,
)
from gatepost.engine.custody import SOCKETS, client_of
from gatepost.engine.handover import Handover, Room
from gatepost.engine.journal import Journal
from gatepost.engine.keeper import keep_as_told
from gatepost.engine.line import FAILED, READY
from gatepost.errors import ConfigError
from gatepost.events import Name
from gatepost.vault.client import Client

ROLE: Final = "--keys"
SILENCE: Final = 20.0  # seconds without a sign of life
_LONGEST: Final = 65536


class Strongroom:
    """One key process after the other, for one configuration."""

    def __init__(
        self, path: Path, text: str, settings: Settings, journal: Journal, name: str = ""
    ) -> None:
        self.settings = settings
        self.name = name or f"keys-{secrets.token_hex(4)}.sock"
        self._path, self._journal = path, journal
        self._handover = Handover(text, {}, keys=self.name)
        self._born: Child | None = None
        self._worker: Worker | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def client(self) -> Client:
        """A client of it."""
        return client_of(self.settings, self.name)

    # ── begin ────────────────────────────────────────────────────────────────────────

    def open(self, lock: int, sockets: Iterable[socket.socket]) -> None:
        """Have the first one born of this process; return when it lends keys.

        Raises ConfigError with its reason when it cannot.  `sockets` are not for it.
        """

        def work(line: socket.socket) -> int:
            for one in sockets:
                one.close()
            return keep_as_told(self.settings, self.name, line, _asked)

        _sweep(self.settings.gateway.state)
        found = forked(1, lock, work)
        self._born = found[0] if found else spawned(self._path, self._handover, ROLE)
        _awaited(self._born[1], None if self.settings.vault.key_passphrase else PATIENCE)

    async def start(self) -> None:
        """Start one; return when it lends keys.  Raises ConfigError with its reason."""
        worker = self._worker = Worker.start(self._path, self._handover, ROLE)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await worker.settled.wait()
        if not worker.is_ready or worker.ended.done():
            worker.kill()
            raise _failure(*worker.fault)
        self._look_after()

    def take_over(self, room: Room | None) -> None:
        """Look after the one that was born or inherited; start one when there is none."""
        child = (room.pid, socket.socket(fileno=room.channel)) if room else self._born
        if child is None:
            self._worker = Worker.start(self._path, self._handover, ROLE)
        else:
            self._worker = Worker(*child)
            self._worker.is_ready = True
        self._born = None
        self._look_after()

    def forget(self) -> None:
        """Hang up on the one that was born: in another child, or when nothing comes of it."""
        if self._born is not None:
            self._born[1].close()

    # ── while it runs ────────────────────────────────────────────────────────────────

    def room(self, *, is_retiring: bool) -> Room | None:
        """What the next supervisor must know."""
        if self._worker is None or self._worker.ended.done():
            return None
        heir = self._worker.heir(is_retiring=is_retiring)
        return Room(heir.pid, heir.channel, self.name, is_retiring)

    def reap(self) -> None:
        """See whether the process has ended."""
        if self._worker is not None:
            self._worker.reap()

    async def close(self) -> None:
        """Send it away, when nobody needs it any more; return when it has ended."""
        if self._keeper is not None:
            self._keeper.cancel()
        if (worker := self._worker) is None:
            return
        worker.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await asyncio.shield(worker.ended)
        worker.kill()

    def _look_after(self) -> None:
        self._keeper = asyncio.ensure_future(self._keep())

    async def _keep(self) -> None:
        while True:
            assert self._worker is not None
            worker = self._worker
            while not worker.ended.done():
                await asyncio.wait((worker.ended,), timeout=SILENCE / 4)
                if asyncio.get_running_loop().time() - worker.heard > SILENCE:
                    worker.kill()
            reason, _ = worker.fault
            code = worker.ended.result()
            self._journal.note(Name.SERVICE_ERROR, service="keys", code=code, reason=reason)
            if worker.age() < LIVED:
                await asyncio.sleep(LIVED if reason else PAUSE)
            start = partial(Worker.start, self._path, self._handover, ROLE)
            self._worker = await replacement(start, self._journal, "keys")


def _asked() -> str:
    return terminal.ask("Passphrase of the vault")


def _awaited(line: socket.socket, patience: float | None) -> None:
    """Return at the word that all is well; raises ConfigError."""
    line.settimeout(patience)
    heard = b""
    with suppress(OSError):
        while len(heard) < _LONGEST and (octets := line.recv(4096)):
            heard += octets
            *lines, _ = heard.split(b"\n")
            for said in map(json.loads, lines):
                if said["word"] == READY:
                    return
                if said["word"] == FAILED:
                    line.close()
                    raise _failure(said["error"], said["hint"])
    line.close()
    raise _failure("", "")


def _failure(error: str, hint: str) -> ConfigError:
    if not error:
        return ConfigError("the key process did not get ready", hint="its log says more")
    return ConfigError(f"{error} (KEY-01)", hint=hint or "gatepost check --explain KEY-01")


def _sweep(state: Path) -> None:
    """Take away the sockets of key processes that were killed; the lock says nobody uses them."""
    for one in state.glob(SOCKETS):
        with suppress(OSError):
            one.unlink()
