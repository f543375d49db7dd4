"""Queues whose worker is gone: their mail leaves, and those of the living are left alone."""

import errno
import os
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from tests.patience import soon
from tests.unit.store.box import Clock, TestSeal, new

from gatepost.engine import adoption
from gatepost.engine.adoption import Adopter
from gatepost.engine.delivery import Delivery
from gatepost.engine.journal import Journal
from gatepost.store.queue import Queue
from gatepost.store.queue_item import Done
from gatepost.store.worker_queue import Taken


class Courier:
    """Delivers at once what it finds at its start."""

    def __init__(self, queue: Queue) -> None:
        self.queue, self.carried = queue, 0

    async def start(self) -> None:
        self.queue.recover()
        items = self.queue.due("outbound", Clock()(), 100)
        self.carried += len(items)
        self.queue.settle(*map(Done, items))
        await self.queue.flush()

    async def stop(self, _grace: timedelta) -> None:
        pass


async def test_queue_of_the_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail accepted by a worker that a reload retired waits for ever."""
    monkeypatch.setattr(adoption, "PERIOD", 0.05)
    clock, seal = Clock(), TestSeal()
    dead, alive = (Queue(tmp_path, seal, name, clock=clock) for name in ("0", "1"))
    await dead.accept([new("A"), new("B")])
    await alive.accept([new("C")])
    dead.close()
    couriers: list[Courier] = []

    def deliver(queue: Queue) -> Delivery:
        couriers.append(Courier(queue))
        return cast("Delivery", couriers[-1])

    adopter = Adopter(tmp_path, seal, deliver, clock, Journal(clock))
    adopter.start()
    await soon(lambda: _is_free(tmp_path, seal, "0", couriers))
    await adopter.stop(timedelta(seconds=1))
    assert [one.carried for one in couriers] == [2]  # once, and let go when empty
    assert alive.counts() == {("active", "outbound"): 1}
    alive.close()


def _is_free(folder: Path, seal: TestSeal, name: str, couriers: list[Courier]) -> bool:
    if not couriers:
        return False
    try:
        Queue(folder, seal, name).close()
    except Taken:
        return False
    return True


async def test_what_went_wrong_once_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that was full for a moment leaves a dead worker's mail where it is for ever."""
    monkeypatch.setattr(adoption, "PERIOD", 0.05)
    clock, seal = Clock(), TestSeal()
    dead = Queue(tmp_path, seal, "0", clock=clock)
    await dead.accept([new("A")])
    dead.close()
    couriers: list[Courier] = []

    class Stumbling(Courier):
        async def start(self) -> None:
            if len(couriers) == 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            await super().start()

    def deliver(queue: Queue) -> Delivery:
        couriers.append(Stumbling(queue))
        return cast("Delivery", couriers[-1])

    adopter = Adopter(tmp_path, seal, deliver, clock, Journal(clock))
    adopter.start()
    await soon(lambda: any(one.carried for one in couriers))
    await adopter.stop(timedelta(seconds=1))
    assert [one.carried for one in couriers] == [0, 1]
