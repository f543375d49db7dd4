"""A worker process: one gateway under a supervisor's eyes.

Standard input is a socket to the supervisor.  Up it goes "ready", "failed …" or, every
few seconds, a sign of life; down comes "retire" or its end, which means stop.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from gatepost.config import Settings, load, parse
from gatepost.engine.custody import client_of
from gatepost.engine.handover import Handover
from gatepost.engine.journal import configure_log
from gatepost.engine.line import ALIVE, BEAT, FAILED, READY, RETIRE, say
from gatepost.engine.service import Service
from gatepost.errors import GatepostError
from gatepost.net.bind import Sockets
from gatepost.vault.client import Client

GRACE = timedelta(seconds=25)  # and a few for what hangs: the 30 s that docs/service.md promises
RETIREMENT = 300.0  # seconds a retired worker gives its clients
_CHANNEL = 0


def work(path: Path) -> int:
    """Serve until the supervisor says otherwise; returns the exit code."""
    handover = Handover.take()
    settings = parse(handover.text, path, os.environ) if handover else load(path)
    configure_log(settings.log.format, settings.log.level)
    line = socket.socket(fileno=_CHANNEL)
    if handover is None:
        return serve_as_told(settings, {}, line)
    return serve_as_told(settings, handover.sockets, line, handover.keys)


def serve_as_told(
    settings: Settings, sockets: Mapping[str, Sockets], line: socket.socket, keys: str = ""
) -> int:
    """Serve until the supervisor at the end of the line says otherwise.

    `keys` is the name of the key process's socket, where there is one.
    """
    client = client_of(settings, keys) if keys else None
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(settings, sockets, Channel(line), client))


def loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Use uvloop where it is installed (pip install gatepost[fast])."""
    try:
        import uvloop  # noqa: PLC0415  optional
    except ImportError:
        return None
    return uvloop.Loop


class Channel:
    """The worker's end of the line to its supervisor."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._line = line
        self.stop = asyncio.Event()
        self.retire = asyncio.Event()

    def open(self) -> None:
        """Listen for orders; signals that the terminal sends to all of us are not for workers."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._line, self._hear)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)

    def say(self, word: str, **fields: object) -> None:
        """Tell the supervisor, if it is still there."""
        say(self._line, word, **fields)

    def _hear(self) -> None:
        try:
            heard = self._line.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            heard = b""
        if RETIRE.encode() in heard:
            self.retire.set()
        if not heard:
            asyncio.get_running_loop().remove_reader(self._line)
            self.stop.set()
            self.retire.set()

    async def beat(self) -> None:
        """Show that the loop turns."""
        while True:
            await asyncio.sleep(BEAT)
            self.say(ALIVE)


async def _serve(
    settings: Settings, sockets: Mapping[str, Sockets], channel: Channel, keys: Client | None
) -> int:
    channel.open()
    try:
        service = Service(settings, sockets=sockets, keys=keys)
    except (GatepostError, OSError) as error:
        return _failed(channel, error)
    beating = asyncio.ensure_future(channel.beat())
    try:
        await service.start()
        gc.freeze()  # what is there now stays: nobody need search it for garbage again and again
        channel.say(READY)
        await _until_told(service, channel)
    except (GatepostError, OSError) as error:
        return _failed(channel, error)
    finally:
        await service.stop(GRACE)
        beating.cancel()
    return 0


async def _until_told(service: Service, channel: Channel) -> None:
    """Serve; then, if there is time, only those who are connected already."""
    stopping = asyncio.ensure_future(channel.stop.wait())
    retired = asyncio.ensure_future(_retired(service, channel))
    done, pending = await asyncio.wait((stopping, retired), return_when=asyncio.FIRST_COMPLETED)
    for one in pending:
        one.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for one in done:
        one.result()


async def _retired(service: Service, channel: Channel) -> None:
    await channel.retire.wait()
    await service.retire(RETIREMENT)


def _failed(channel: Channel, error: GatepostError | OSError) -> int:
    hint = error.fields.get("hint", "") if isinstance(error, GatepostError) else ""
    channel.say(FAILED, error=str(error), hint=str(hint))
    return 2
