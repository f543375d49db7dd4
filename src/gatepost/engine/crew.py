"""The workers of one configuration, seen from their supervisor.

Whoever dies is replaced until the crew is dismissed.  Each worker is a fresh process:
it runs the program as it is on the disk now, which is how an upgrade begins.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gatepost.engine.handover import OURS_ALONE, Handover, Heir
from gatepost.engine.journal import Journal
from gatepost.engine.line import FAILED, READY, RETIRE
from gatepost.errors import ConfigError
from gatepost.events import Name

if TYPE_CHECKING:
    from gatepost.engine.strongroom import Strongroom

PAUSE = 1.0  # seconds before a worker that died young is replaced
LIVED = 5.0
ENDING = 40.0  # seconds for a worker to end, which gives its mail 25
PATIENCE = 90.0  # seconds for a worker to get ready


Child = tuple[int, socket.socket]  # process id and our end of the line


def forked(size: int, lock: int, work: Callable[[socket.socket], int]) -> list[Child]:
    """Children of this process as it is, before it has threads or a loop.

    The first crew need not read the whole program again; every later one does.
    """
    children: list[Child] = []
    if threading.active_count() > 1:
        return children
    for _ in range(size):
        ours, its = socket.socketpair()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            os.close(lock)  # it would outlive the supervisor
            for one in (ours, *(line for _, line in children)):
                one.close()
            _become(work, its)
        its.close()
        children.append((pid, ours))
    return children


def spawned(path: Path, handover: Handover, role: str) -> Child:
    """A fresh process that inherits; its standard input is the line."""
    ours, its = socket.socketpair()
    command = [sys.executable, "-m", "gatepost", "serve", "--config", str(path), role]
    try:
        pid = os.posix_spawn(
            sys.executable,
            command,
            handover.for_child(),
            file_actions=[(os.POSIX_SPAWN_DUP2, its.fileno(), 0)],
            setsigmask=[],
        )
    except BaseException:
        ours.close()
        raise
    finally:
        its.close()
        handover.close()
    return pid, ours


def _become(work: Callable[[socket.socket], int], line: socket.socket) -> NoReturn:
    """Be a worker, and nothing after that: the caller's stack belongs to the supervisor."""
    code = 1
    try:
        for name in OURS_ALONE:
            os.environ.pop(name, None)
        code = work(line)
    except BaseException:  # noqa: BLE001  told, and the process ends
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


class Worker:
    """One child process and the line to it."""

    def __init__(self, pid: int, line: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        line.setblocking(False)
        self.pid, self._line = pid, line
        self.heard = self._born = loop.time()
        self.is_ready = False
        self.fault: tuple[str, str] = ("", "")  # why it could not start, and what helps
        self.ended: asyncio.Future[int] = loop.create_future()
        self.settled = asyncio.Event()  # it is ready, or has ended
        self._buffer = b""
        loop.add_reader(line, self._hear)

    @classmethod
    def start(cls, path: Path, handover: Handover, role: str = "--worker") -> Worker:
        """Start a process that inherits."""
        return cls(*spawned(path, handover, role))

    @classmethod
    def inherited(cls, heir: Heir) -> Worker:
        """A worker that an earlier supervisor started, in this process."""
        made = cls(heir.pid, socket.socket(fileno=heir.channel))
        made.is_ready = True
        made.settled.set()
        return made

    def heir(self, *, is_retiring: bool) -> Heir:
        """What the next supervisor must know."""
        return Heir(self.pid, self._line.fileno(), is_retiring)

    def age(self) -> float:
        """Seconds since it was started or inherited."""
        return asyncio.get_running_loop().time() - self._born

    def retire(self) -> None:
        """Take no new clients; end when the present ones have left."""
        with suppress(OSError):
            self._line.send(RETIRE.encode() + b"\n")

    def stop(self) -> None:
        """Finish what is under way and end."""
        self._hang_up()

    def kill(self) -> None:
        """End at once."""
        if self.ended.done():
            return  # its number may be another process's by now
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> None:
        """See whether the process has ended."""
        if self.ended.done():
            return
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self.pid, 0
        if pid:
            self._hear()  # its last words
            self._hang_up()
            self.ended.set_result(os.waitstatus_to_exitcode(status))
            self.settled.set()

    def _hang_up(self) -> None:
        if self._line.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._line)
            self._line.close()

    def _hear(self) -> None:
        if self._line.fileno() < 0:
            return
        try:
            octets = self._line.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if not octets:  # it ends; SIGCHLD tells when
            asyncio.get_running_loop().remove_reader(self._line)
            return
        *lines, self._buffer = (self._buffer + octets).split(b"\n")
        self.heard = asyncio.get_running_loop().time()
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, said: dict[str, str]) -> None:
        if said["word"] == READY:
            self.is_ready = True
            self.settled.set()
        elif said["word"] == FAILED:
            self.fault = (said["error"], said["hint"])


@dataclass(eq=False)
class Crew:
    """So many workers for one configuration."""

    path: Path
    handover: Handover  # text and sockets
    size: int
    journal: Journal
    rooms: list[Strongroom] = field(default_factory=list)  # the first is for new workers
    workers: list[Worker] = field(default_factory=list)
    _keepers: list[asyncio.Task[None]] = field(default_factory=list)
    _is_dismissed: bool = False

    async def start(self, born: Sequence[Child] = ()) -> None:
        """Return when every worker serves; raises ConfigError with the first one's reason."""
        self.workers = [Worker(*one) for one in born]
        try:
            while len(self.workers) < self.size:
                self.workers.append(Worker.start(self.path, self.handover))
        except OSError:  # half a crew would serve what is not in force
            self.dismiss(Worker.kill)
            raise
        try:
            async with asyncio.timeout(PATIENCE):
                for one in self.workers:
                    await one.settled.wait()
        except TimeoutError:
            pass
        for one in self.workers:
            if not one.is_ready or one.ended.done():
                self.dismiss(Worker.kill)
                raise _failure(one)
        self.complete()

    def complete(self) -> None:
        """Replace whoever is missing, or dies from now on."""
        keepers = [self._keep(number) for number in range(len(self.workers))]
        keepers += [self._added() for _ in range(len(self.workers), self.size)]
        self._keepers = [asyncio.ensure_future(one) for one in keepers]

    def dismiss(self, how: Callable[[Worker], None]) -> None:
        """Replace nobody any more, and send everybody away."""
        self._is_dismissed = True
        for one in self._keepers:
            one.cancel()
        for worker in self.workers:
            how(worker)

    async def gone(self, patience: float | None = None) -> None:
        """Return when every worker has ended, by itself or after so many seconds."""
        try:
            async with asyncio.timeout(patience):
                for one in self.workers:
                    await asyncio.shield(one.ended)
        except TimeoutError:
            for one in self.workers:
                one.kill()
            await self.gone()

    def heirs(self) -> Iterator[Heir]:
        """Those who change their supervisor."""
        for one in self.workers:
            if not one.ended.done():
                yield one.heir(is_retiring=self._is_dismissed)

    def silent_for(self) -> float:
        """Seconds since the most silent worker gave a sign of life."""
        now = asyncio.get_running_loop().time()
        return max((now - one.heard for one in self.workers), default=0.0)

    async def _added(self) -> None:
        start = partial(Worker.start, self.path, self.handover)
        self.workers.append(await replacement(start, self.journal, "a worker"))
        await self._keep(len(self.workers) - 1)

    async def _keep(self, number: int) -> None:
        while True:
            worker = self.workers[number]
            code = await asyncio.shield(worker.ended)
            reason, _ = worker.fault
            self.journal.note(
                Name.SERVICE_ERROR, service=f"worker {number}", code=code, reason=reason
            )
            if worker.age() < LIVED:  # not again and again without a breath
                await asyncio.sleep(PAUSE)
            start = partial(Worker.start, self.path, self.handover)
            self.workers[number] = await replacement(start, self.journal, f"worker {number}")


async def replacement(start: Callable[[], Worker], journal: Journal, service: str) -> Worker:
    """Another process, as soon as the machine has room for one."""
    while True:
        try:
            return start()
        except OSError as error:
            reason = f"no process can be started: {error.strerror or error}"
            journal.note(Name.SERVICE_ERROR, service=service, reason=reason)
            await asyncio.sleep(LIVED)


def _failure(worker: Worker) -> ConfigError:
    error, hint = worker.fault
    if not error:
        code = worker.ended.result() if worker.ended.done() else "nothing said"
        error = f"a worker did not get ready within {PATIENCE:.0f} s ({code})"
        if worker.ended.done():
            error = f"a worker ended before it was ready (exit code {code})"
        hint = "its log says more"
    return ConfigError(error, hint=hint)
