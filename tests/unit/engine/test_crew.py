"""The workers of a supervisor on a machine that has no room for another process."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from gatepost.engine import crew as crew_module
from gatepost.engine.crew import Crew, Worker
from gatepost.engine.handover import Handover
from gatepost.engine.journal import Journal
from gatepost.events import Event, Name

NO_ROOM = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


class Machine:
    """Starts processes that do nothing, as far as it has room."""

    def __init__(self, room: list[bool]) -> None:
        self.room, self.started = iter(room), list[Worker]()
        self.lines = list[socket.socket]()

    def start(self, _path: Path, _handover: Handover, _role: str = "") -> Worker:
        if not next(self.room):
            raise NO_ROOM
        ours, its = socket.socketpair()
        self.lines.append(its)
        pid = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
        self.started.append(Worker(pid, ours))
        return self.started[-1]

    def reap(self) -> None:
        for one in self.started:
            one.reap()

    def close(self) -> None:
        for one in self.lines:
            one.close()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Room for one process, then for none, then for one more."""
    made = Machine([True, False, True])
    monkeypatch.setattr(Worker, "start", made.start)
    monkeypatch.setattr(crew_module, "LIVED", 0.0)
    yield made
    made.close()


def crew(size: int, said: list[Event]) -> Crew:
    journal = Journal(lambda: datetime.now(UTC))
    journal.observe(said.append)
    return Crew(Path("gatepost.toml"), Handover("", {}), size, journal)


async def begun(one: Crew) -> Worker:
    """The first worker, as soon as there is one."""
    async with asyncio.timeout(PATIENCE):
        while not one.workers:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
    return one.workers[0]


async def gone(one: Crew, machine: Machine) -> None:
    """Wait until all have ended."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, machine.reap)
    machine.reap()
    async with asyncio.timeout(PATIENCE):
        await one.gone()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)


async def test_half_a_crew_serves_nobody(machine: Machine) -> None:
    """A reload that failed leaves one worker behind, which takes mail by the refused settings."""
    made = crew(2, [])
    with pytest.raises(OSError, match=os.strerror(errno.EAGAIN)):
        await made.start()
    await gone(made, machine)
    assert [one.ended.result() for one in machine.started] == [-signal.SIGKILL]


async def test_who_died_is_replaced_when_there_is_room(machine: Machine) -> None:
    """A worker that dies while memory is short is missed until somebody restarts the gateway."""
    said: list[Event] = []
    made = crew(1, said)
    made.complete()
    first = await begun(made)
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, machine.reap)
    first.kill()
    async with asyncio.timeout(PATIENCE):
        while made.workers[0] is first:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
    made.dismiss(Worker.kill)
    await gone(made, machine)
    reasons = [str(one.fields.get("reason")) for one in said if one.name is Name.SERVICE_ERROR]
    assert reasons[-1] == f"no process can be started: {os.strerror(errno.EAGAIN)}"


async def test_a_new_supervisor_waits_for_room(machine: Machine) -> None:
    """A restart while memory is short ends the gateway, though its other workers go on."""
    next(machine.room)
    made = crew(1, [])
    made.complete()
    await begun(made)
    assert made.workers == machine.started
    made.dismiss(Worker.kill)
    await gone(made, machine)


async def test_who_has_ended_is_not_killed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A supervisor of root's kills whatever process has the number now."""
    made = crew(1, [])
    made.complete()
    one = await begun(made)
    made.dismiss(Worker.kill)
    await gone(made, machine)
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))
    one.kill()
    made.dismiss(Worker.kill)
    assert killed == []
