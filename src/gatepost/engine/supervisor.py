"""`gatepost serve`: one process, or several that share the listening ports.

With one worker the gateway runs right here.  With more, this process only starts them,
starts again whichever dies, and passes signals on; the kernel spreads connections over
them (SO_REUSEPORT), and each has a queue of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from gatepost.config import Settings, load
from gatepost.engine.journal import Journal, configure_log
from gatepost.engine.service import Service, utc_now
from gatepost.events import Name

GRACE = timedelta(seconds=30)
PAUSE = 1.0  # seconds before a worker that died is started again
STOPS = (signal.SIGTERM, signal.SIGINT)


def serve(path: Path, worker: int | None = None) -> int:
    """Run the gateway of a configuration file until told to stop; returns the exit code."""
    settings = load(path)
    configure_log(settings.log.format, settings.log.level)
    if worker is None and settings.gateway.workers > 1:
        return asyncio.run(_supervise(path, settings.gateway.workers))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_work(settings, worker))


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """Use uvloop where it is installed (pip install gatepost[fast])."""
    try:
        import uvloop  # noqa: PLC0415  optional
    except ImportError:
        return None
    return uvloop.Loop


async def _work(settings: Settings, worker: int | None) -> int:
    number = worker or 0
    gateway = settings.gateway
    # Files from before the queue moved to a database drain, too.
    filed = 0 if settings.queue_database.address else gateway.workers
    adopted = orphans(gateway.queue_folder, filed) if number == 0 else ()
    service = Service(settings, worker=str(number), adopted=adopted)
    stop = _stopped()
    if worker is not None:
        _end_with_parent(stop)
    try:
        await service.start()
        await stop.wait()
    finally:
        await service.stop(GRACE)
    return 0


async def _supervise(path: Path, workers: int) -> int:
    stop = _stopped()
    journal = Journal(utc_now)
    await asyncio.gather(*(_keep(path, number, stop, journal) for number in range(workers)))
    return 0


async def _keep(path: Path, number: int, stop: asyncio.Event, journal: Journal) -> None:
    """Keep one worker running."""
    command = (sys.executable, "-m", "gatepost", "serve", "--config", str(path))
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(
            *command, "--worker", str(number), stdin=asyncio.subprocess.PIPE
        )
        ended = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait((ended, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            with suppress(ProcessLookupError):
                process.terminate()
            await ended
            return
        journal.note(Name.SERVICE_ERROR, service=f"worker {number}", code=ended.result())
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE):
                await stop.wait()


def _stopped() -> asyncio.Event:
    """An event set by SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    return stop


def _end_with_parent(stop: asyncio.Event) -> None:
    """Stop when the supervisor is gone, however it went: its end of our standard input closes."""
    loop = asyncio.get_running_loop()

    def heard() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

    loop.add_reader(sys.stdin.fileno(), heard)


def orphans(folder: Path, workers: int) -> Sequence[str]:
    """Names of queues left by workers that the configuration no longer has."""
    names = {path.stem for path in folder.glob("*.db")}
    return sorted(names - {str(number) for number in range(workers)})
