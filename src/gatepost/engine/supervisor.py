"""`gatepost serve`: one process that holds the listening sockets, and its workers.

Reload: a new crew of workers for the new configuration; when all of them serve, the old
ones take no more clients and end with those they have.  Restart: the same, then this
process makes room for the program as it is on the disk now, sockets and workers kept.
Nobody is refused meanwhile, and what fails leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from gatepost.config import Settings, parse, read
from gatepost.engine import control
from gatepost.engine.crew import ENDING, Child, Crew, Worker, forked
from gatepost.engine.custody import withheld
from gatepost.engine.door import Doors, assigned
from gatepost.engine.handover import Handover, Room
from gatepost.engine.journal import Journal, configure_log, reason_of
from gatepost.engine.notify import Notifier
from gatepost.engine.service import utc_now
from gatepost.engine.strongroom import Strongroom
from gatepost.engine.worker import serve_as_told
from gatepost.errors import ConfigError, GatepostError
from gatepost.events import Name
from gatepost.net.bind import activated
from gatepost.vault.client import Client

Word = Literal["reload", "restart"]

SIGNALS: dict[signal.Signals, Word] = {signal.SIGHUP: "reload", signal.SIGUSR2: "restart"}
STOPS = (signal.SIGTERM, signal.SIGINT)
HELD = (*SIGNALS, *STOPS, signal.SIGCHLD)
LOCK = "serve.lock"


@dataclass(frozen=True, slots=True)
class Precaution:
    """What is looked at beforehand; each raises ConfigError."""

    consider: Callable[[Path, bool], None]  # whether a gateway may run like this
    prove: Callable[[Path, Client], None]  # whether the key process has the directory's keys


def serve(path: Path, precaution: Precaution) -> int:
    """Run the gateway of a configuration file until told to stop; returns the exit code."""
    legacy = Handover.take()
    given = activated()
    settings = parse(legacy.text if legacy else (text := read(path)), path, os.environ)
    if legacy is None:
        precaution.consider(path, bool(given))
    configure_log(settings.log.format, settings.log.level)
    journal = Journal(utc_now)
    if legacy is None:
        sockets, strangers = assigned(given, settings.listener)
        for one in strangers:
            reason = f"no listener is for the socket {one}"
            journal.note(Name.SERVICE_ERROR, service="supervisor", reason=reason)
        legacy = Handover(text, sockets, lock=locked(settings.gateway.state))
    supervisor = Supervisor(path, settings, legacy, journal, precaution)
    if not legacy.heirs:
        supervisor.unlock()
        supervisor.fork()
    return asyncio.run(supervisor.run(legacy))


def locked(state: Path) -> int:
    """Keep a second supervisor off this state; raises ConfigError."""
    number = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(number)
        raise ConfigError(
            f"another gatepost serve already works on {state}",
            hint="gatepost reload makes that one take a new configuration",
        ) from error
    return number


@dataclass(frozen=True, slots=True)
class Request:
    """Something to do, and who wants to hear how it went."""

    word: Word
    asker: socket.socket | None = None


class Supervisor:
    """Keeps a crew at work."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        legacy: Handover,
        journal: Journal,
        precaution: Precaution,
    ) -> None:
        self._path, self._settings, self._text = path.absolute(), settings, legacy.text
        self._doors, self._lock = Doors(legacy.sockets), legacy.lock
        self._journal, self._precaution = journal, precaution
        self._notifier = Notifier()
        self._requests: asyncio.Queue[Request | None] = asyncio.Queue()
        self._crews: list[Crew] = []  # the one in force, one that begins, those that end
        self._ending: set[Strongroom] = set()  # which no crew needs any more
        self._tasks: set[asyncio.Task[None]] = set()
        self._born: list[Child] = []
        self._crew = self._planned(self._text, settings, self._room(settings, legacy.keys))
        self._doors.keep(self._crew.handover.sockets)

    def unlock(self) -> None:
        """Have the first key process born; raises ConfigError when it does not open our keys."""
        sockets = [one for each in self._crew.handover.sockets.values() for one in each]
        for room in self._crew.rooms:
            room.open(self._lock, sockets)
            try:
                self._prove(room)
            except BaseException:
                room.forget()
                self._doors.keep({})
                raise

    def fork(self) -> None:
        """Have the first workers born of this process, unless its environment has secrets."""
        settings, handover, rooms = self._settings, self._crew.handover, self._crew.rooms

        def work(line: socket.socket) -> int:
            for room in rooms:
                room.forget()
            return serve_as_told(settings, handover.sockets, line, handover.keys)

        if not any(one in os.environ for one in handover.withheld):
            self._born = forked(self._crew.size, self._lock, work)

    async def run(self, legacy: Handover) -> int:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        for stop in STOPS:
            loop.add_signal_handler(stop, self._requests.put_nowait, None)
        for number, word in SIGNALS.items():
            loop.add_signal_handler(number, self._requests.put_nowait, Request(word))
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)  # a predecessor held them for us
        if legacy.heirs:
            self._take_over(legacy)
        elif not await self._begin():
            return 0
        line = control.listening(self._settings.gateway.state)
        loop.add_reader(line, self._called, line)
        if self._notifier.watchdog:
            self._start(self._watch())
        self._notifier.ready(self._status())
        if legacy.asker >= 0:
            self._answer(Request("restart", socket.socket(fileno=legacy.asker)))
        while (request := await self._requests.get()) is not None:
            await self._obey(request)
        loop.remove_reader(line)
        with suppress(FileNotFoundError):
            (self._settings.gateway.state / control.NAME).unlink()
        await self._stop()
        return 0

    # ── begin and end ────────────────────────────────────────────────────────────────

    async def _begin(self) -> bool:
        """Start the first crew; whether it serves.  Raises ConfigError when it cannot."""
        for room in self._crew.rooms:
            room.take_over(None)
        starting = asyncio.ensure_future(self._crew.start(self._born))
        asyncio.get_running_loop().call_soon(self._reap)  # whoever ended before we listened
        stopping = asyncio.ensure_future(self._requests.get())
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if stopping.done() and (request := stopping.result()) is not None:
            self._requests.put_nowait(request)
            await starting
        elif stopping.done():
            starting.cancel()
            self._crew.dismiss(Worker.stop)
            await self._crew.gone(ENDING)
            return False
        stopping.cancel()
        starting.result()
        return True

    def _take_over(self, legacy: Handover) -> None:
        """Look after the workers of the supervisor that this process was."""
        retiring = self._planned(self._text, self._settings, None)
        for one in legacy.rooms:
            self._take_room(one, retiring if one.is_retiring else self._crew)
        for heir in legacy.heirs:
            crew = retiring if heir.is_retiring else self._crew
            crew.workers.append(Worker.inherited(heir))
        for room in self._crew.rooms:
            if room.name not in {one.name for one in legacy.rooms}:
                room.take_over(None)  # it had just died
        self._crew.complete()
        self._retire(retiring, lambda _: None)
        self._reap()  # whoever ended before we listened

    def _take_room(self, room: Room, crew: Crew) -> None:
        known = next((one for one in crew.rooms if one.name == room.name), None)
        if known is None:
            known = self._room_of(self._text, self._settings, room.name)
            crew.rooms.append(known)
        known.take_over(room)

    async def _stop(self) -> None:
        self._notifier.stopping()
        for one in self._tasks:
            one.cancel()
        for crew in self._crews:
            crew.dismiss(Worker.stop)
        self._doors.keep({})
        await asyncio.gather(*(crew.gone(ENDING) for crew in self._crews))
        await self._close({room for crew in self._crews for room in crew.rooms})
        self._journal.note(Name.SERVICE_STOPPED, service="supervisor")

    # ── reload and restart ───────────────────────────────────────────────────────────

    async def _obey(self, request: Request) -> None:
        self._notifier.reloading()
        try:
            await self._reload(request.word)
        except Exception as error:  # noqa: BLE001  whatever it was, the old crew goes on
            self._refuse(request, error)
            return
        self._journal.note(Name.SERVICE_RELOADED, service=request.word, workers=self._crew.size)
        if request.word == "restart":
            self._make_room(request.asker)  # does not return
        self._notifier.ready(self._status())
        self._answer(request)

    def _refuse(self, request: Request, error: Exception) -> None:
        is_told = isinstance(error, GatepostError | OSError)
        reason = str(error) if is_told else reason_of(error)
        hint = error.fields.get("hint", "") if isinstance(error, GatepostError) else ""
        kept = "the old configuration stays in force"
        self._journal.note(Name.SERVICE_ERROR, service=request.word, reason=f"{reason}; {kept}")
        self._notifier.ready(f"{request.word} failed, {kept}")
        if request.asker is not None:
            control.answer(request.asker, error=f"{reason}; {kept}", hint=str(hint))

    async def _reload(self, word: Word) -> None:
        text = await asyncio.to_thread(read, self._path)
        settings = parse(text, self._path, os.environ)
        if settings.gateway.state != self._settings.gateway.state:
            raise ConfigError(
                f"[gateway] state cannot move from {self._settings.gateway.state} while mail waits",
                hint="stop the gateway, move the folder, start it again",
            )
        await asyncio.to_thread(self._precaution.consider, self._path, True)
        crew = self._planned(text, settings, self._room_for(text, settings, word))
        try:
            await self._unlocked(crew)
            await crew.start()
        except BaseException:
            self._doors.abandon(crew.handover.sockets)
            self._start(self._forget(crew))
            raise
        old, self._crew = self._crew, crew
        self._text, self._settings = text, settings
        self._doors.keep(crew.handover.sockets)
        self._retire(old, Worker.retire)
        configure_log(settings.log.format, settings.log.level)

    def _planned(self, text: str, settings: Settings, room: Strongroom | None) -> Crew:
        plan = Handover(
            text,
            self._doors.planned(settings.listener),
            keys=room.name if room else "",
            withheld=withheld(settings) if room else (),
        )
        rooms = [room] if room else []
        crew = Crew(self._path, plan, settings.gateway.workers, self._journal, rooms)
        self._crews.append(crew)
        return crew

    def _room(self, settings: Settings, name: str = "") -> Strongroom | None:
        return self._room_of(self._text, settings, name) if settings.vault.process else None

    def _room_of(self, text: str, settings: Settings, name: str = "") -> Strongroom:
        return Strongroom(self._path, text, settings, self._journal, name)

    def _room_for(self, text: str, settings: Settings, word: Word) -> Strongroom | None:
        """The key process that is there, unless it could not do: other keys, or a new program."""
        can_stay = word == "reload" or settings.vault.key_passphrase  # which nobody types again
        if can_stay and settings.vault == self._settings.vault and self._crew.rooms:
            return self._crew.rooms[0]
        return self._room_of(text, settings) if settings.vault.process else None

    async def _unlocked(self, crew: Crew) -> None:
        """Start the crew's key process where it is a new one, and see whether it has our keys."""
        for room in crew.rooms:
            if room not in self._crew.rooms:
                await room.start()
            await asyncio.to_thread(self._prove, room)

    def _prove(self, room: Strongroom) -> None:
        with closing(room.client) as client:
            self._precaution.prove(self._path, client)

    def _retire(self, crew: Crew, how: Callable[[Worker], None]) -> None:
        crew.dismiss(how)
        self._start(self._forget(crew))

    async def _forget(self, crew: Crew) -> None:
        await crew.gone()
        self._crews.remove(crew)
        await self._close({*crew.rooms} - {room for one in self._crews for room in one.rooms})

    async def _close(self, rooms: set[Strongroom]) -> None:
        self._ending |= rooms
        await asyncio.gather(*(one.close() for one in rooms))
        self._ending -= rooms

    def _make_room(self, asker: socket.socket | None) -> None:
        """Become the program that is on the disk now; process id and children stay."""
        handover = Handover(
            self._text,
            self._crew.handover.sockets,
            [heir for crew in self._crews for heir in crew.heirs()],
            self._lock,
            asker.fileno() if asker is not None else -1,
            self._crew.handover.keys,
            self._rooms(),
        )
        command = [sys.executable, "-m", "gatepost", "serve", "--config", str(self._path)]
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD)  # until the successor can take them
        sys.stderr.flush()
        os.execve(sys.executable, command, handover.environment())  # noqa: S606  ourselves

    def _rooms(self) -> list[Room]:
        """The key processes, each once."""
        current = self._crew.rooms
        others = {room for crew in self._crews for room in crew.rooms} - {*current}
        found = [one.room(is_retiring=False) for one in current]
        return [one for one in (*found, *(one.room(is_retiring=True) for one in others)) if one]

    # ── who is heard ─────────────────────────────────────────────────────────────────

    def _called(self, line: socket.socket) -> None:
        with suppress(OSError):
            self._start(self._hear(line.accept()[0]))

    async def _hear(self, asker: socket.socket) -> None:
        asker.setblocking(False)
        try:
            async with asyncio.timeout(5):
                said = await asyncio.get_running_loop().sock_recv(asker, 64)
        except (OSError, TimeoutError):
            said = b""
        word = said.decode("ascii", "replace").strip()
        if word in control.WORDS:
            self._requests.put_nowait(Request(cast("Word", word), asker))
        else:
            control.answer(asker, error=f"{word!r} is none of {', '.join(control.WORDS)}")

    def _answer(self, request: Request) -> None:
        if request.asker is not None:
            control.answer(
                request.asker,
                done=request.word,
                process=os.getpid(),
                workers=[one.pid for one in self._crew.workers],
                retiring=[
                    one.pid for crew in self._crews if crew != self._crew for one in crew.workers
                ],
            )

    def _reap(self) -> None:
        for crew in self._crews:
            for one in crew.workers:
                one.reap()
        for room in {*self._ending, *(room for crew in self._crews for room in crew.rooms)}:
            room.reap()

    async def _watch(self) -> None:
        """Tell systemd that we live, as long as every worker does."""
        while True:
            await asyncio.sleep(self._notifier.watchdog / 3)
            if self._crew.silent_for() < max(self._notifier.watchdog, 15.0):
                self._notifier.alive()

    def _status(self) -> str:
        places = ", ".join(str(one.bind) for one in self._settings.listener)
        return f"{self._crew.size} workers take mail at {places}"

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
