"""kill -9 while mail is being accepted: whatever was acknowledged is there after the restart."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import ROOT
from tests.unit.store.box import MARKER, TestSeal, raw

from gatepost.mail.content import join
from gatepost.store.queue import Queue

_SERVICE = """
import asyncio, sys
from pathlib import Path
from gatepost.store.queue import Queue
from gatepost.store.queue_item import Done
from tests.unit.store.box import MARKER, TestSeal, new

async def worker(queue, n):
    for serial in range(100000):
        size = 300_000 if serial % 40 == 7 else 5_000
        name = f"W{n}S{serial}"
        body = name.encode() + b" " + MARKER * (size // len(MARKER))
        items = await queue.accept([new(name, body)])
        if serial % 3 == 0:
            queue.settle(*(Done(item) for item in items))
        else:
            print(name, flush=True)  # the 250

async def main():
    queue = Queue(Path(sys.argv[1]), TestSeal())
    queue.recover()
    await asyncio.gather(*(worker(queue, sys.argv[2] + str(n)) for n in range(10)))

asyncio.run(main())
"""


def acknowledged_before_kill(folder: Path, round_: int) -> list[str]:
    service = subprocess.Popen(
        [sys.executable, "-c", _SERVICE, str(folder), f"{round_}x"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert service.stdout is not None
    lines = [service.stdout.readline() for _ in range(40)]  # it runs, and writes
    time.sleep(0.25 + 0.17 * round_)
    service.send_signal(signal.SIGKILL)
    rest, _ = service.communicate()
    text = "".join(lines) + rest
    return text[: text.rfind("\n") + 1].split()


async def test_kill_nine(tmp_path: Path) -> None:
    """A power cut for the process, three times over: nothing acknowledged is lost or readable."""
    acknowledged: list[str] = []
    for round_ in range(3):
        acknowledged += acknowledged_before_kill(tmp_path, round_)
    assert len(acknowledged) > 100
    assert MARKER[:16] not in raw(tmp_path)
    queue = Queue(tmp_path, TestSeal())
    assert queue.recover().corrupt == 0
    items = queue.due("outbound", datetime.now(UTC), 10**6)
    stored = {item.id for item in items}
    assert not set(acknowledged) - stored
    for item in items:
        assert join(item.content).startswith(item.id.encode() + b" " + MARKER[:10])
    await asyncio.to_thread(queue.close)
