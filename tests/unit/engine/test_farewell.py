"""The end of a service, and of workers that do not end."""

import asyncio
import os
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path

from gatepost.engine.crew import Crew, Worker
from gatepost.engine.farewell import Farewell
from gatepost.engine.handover import Handover
from gatepost.engine.journal import Journal

JOURNAL = Journal(lambda: datetime.now(UTC))


async def test_each_part_ends_though_others_hang() -> None:
    """A database that was cut off keeps the whole gateway from stopping."""
    ended: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("hung")

    async def fail() -> None:
        raise OSError(5, "Input/output error")

    async def end() -> None:
        ended.append("ended")

    farewell = Farewell(0.0, JOURNAL)
    assert farewell.left == 0.0
    async with asyncio.timeout(30):
        await farewell.of("one", hang(), 0.05)
        await farewell.of("two", fail())
        await farewell.of("three", end())
    assert ended == ["hung", "ended"]


async def test_a_worker_that_does_not_end_is_ended() -> None:
    """A worker that hangs keeps the service from stopping until systemd kills all of it."""
    ours, its = socket.socketpair()
    pid = await asyncio.to_thread(os.posix_spawn, "/bin/sleep", ["sleep", "600"], {})
    worker = Worker(pid, ours)
    crew = Crew(Path("gatepost.toml"), Handover("", {}), 1, JOURNAL, workers=[worker])
    crew.dismiss(Worker.stop)
    going = asyncio.ensure_future(crew.gone(0.05))
    async with asyncio.timeout(30):
        while not going.done():  # as SIGCHLD does it
            worker.reap()
            await asyncio.sleep(0.01)
    assert worker.ended.result() == -signal.SIGKILL
    its.close()
