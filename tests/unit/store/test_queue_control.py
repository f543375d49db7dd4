"""What the administrator does to the queue from another process, while mail flows."""

import asyncio
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from tests.patience import PATIENCE
from tests.unit.store.box import MARKER, START, Clock, TestSeal, new

from gatepost.mail.content import join
from gatepost.store.queue import Queue
from gatepost.store.queue_change import ALL
from gatepost.store.queue_control import Control
from gatepost.store.queue_item import Done, Parked, Record
from gatepost.store.sealing import Corrupt
from gatepost.store.spool import IN_MEMORY

_ELSEWHERE = """
import sys
from pathlib import Path
from gatepost.store.queue_control import Control
control = Control(Path(sys.argv[1]))
for _ in range(int(sys.argv[4])):
    for item in getattr(control, sys.argv[2])(sys.argv[3]):
        print(item.id)
"""


async def elsewhere(folder: Path, verb: str, id_: str, times: int = 1) -> list[str]:
    """Do it in another process."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _ELSEWHERE, str(folder), verb, id_, str(times)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


async def test_another_process(tmp_path: Path) -> None:
    """List, hold, release and delete work while the service runs, and it hears of each."""
    heard = threading.Event()
    queue = Queue(tmp_path, TestSeal(), clock=Clock())
    queue.changed = heard.set
    items = await queue.accept([new("A"), new("A"), new("B", MARKER * (IN_MEMORY // 20))])
    assert await elsewhere(tmp_path, "show", "A") == ["A", "A.2"]
    assert await elsewhere(tmp_path, "hold", "A.2") == ["A.2"]
    assert await asyncio.to_thread(heard.wait, PATIENCE)
    assert {items[1].number} == queue.gone(items)
    assert await elsewhere(tmp_path, "delete", "B") == ["B"]
    assert not queue.spool.names()
    assert {items[1].number, items[2].number} == queue.gone(items)
    queue.settle(Done(items[0]))
    queue.release(items)
    assert await elsewhere(tmp_path, "release", ALL) == ["A.2"]
    await queue.flush()
    assert [item.id for item in queue.due("outbound", START + timedelta(days=999), 9)] == ["A.2"]
    await asyncio.to_thread(queue.close)


async def test_writing_at_once(tmp_path: Path) -> None:
    """Neither side loses a write to "database is locked" while both write as fast as they can."""
    queue = Queue(tmp_path, TestSeal())
    await queue.accept([new("A")])
    working = asyncio.create_task(elsewhere(tmp_path, "retry", "A", 200))
    number = 0
    while not working.done():
        number += 1
        items = await queue.accept([new(f"B{number}")])
        queue.settle(*(Done(item) for item in items))
    assert await working == ["A"] * 200
    await queue.flush()
    assert number > 20
    assert queue.counts() == {("active", "outbound"): 1}
    assert queue.nudges() == 200
    await asyncio.to_thread(queue.close)


async def test_several_workers(tmp_path: Path) -> None:
    """The administrator sees one queue, however many processes serve it."""
    control = Control(tmp_path)
    assert control.list() == ()
    queues = [Queue(tmp_path, TestSeal(), str(n)) for n in range(2)]
    for n, queue in enumerate(queues):
        await queue.accept([new(f"A{n}")], [Record("A", START, f"event{n}", "{}")])
    assert [item.id for item in control.list()] == ["A0", "A1"]
    assert [record.name for record in control.records("A")] == ["event0", "event1"]
    assert [item.id for item in control.delete("A1")] == ["A1"]
    assert control.delete("A1") == ()
    for queue in queues:
        await asyncio.to_thread(queue.close)


async def test_release_of_what_was_not_held(tmp_path: Path) -> None:
    """Releasing or retrying says what it did: nothing, when nothing was held."""
    queue = Queue(tmp_path, TestSeal(), clock=Clock())
    control = Control(tmp_path)
    items = await queue.accept([new("A"), new("B")])
    assert control.release("A") == ()
    queue.settle(Parked(items[1], "corrupt", "the disk ate it"))
    await queue.flush()
    assert control.show("B")[0].reason == "the disk ate it"
    assert () == control.retry("B") == control.hold("B") == control.retry("Z")
    assert [item.id for item in control.release("B")] == ["B"]
    assert [item.id for item in control.retry(ALL)] == ["A", "B"]
    await asyncio.to_thread(queue.close)


async def test_bodies_stay_sealed(tmp_path: Path) -> None:
    """Whoever lists the queue needs no key and sees sizes only."""
    queue = Queue(tmp_path, TestSeal())
    await queue.accept([new("A", MARKER)])
    await asyncio.to_thread(queue.close)
    (item,) = Control(tmp_path).list()
    assert len(MARKER) == item.content.size
    with pytest.raises(Corrupt, match="sealed"):
        join(item.content)
