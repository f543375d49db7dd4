"""Queues nobody works on: those of workers that ended, were retired, or moved to a database.

Nothing enters them any more, everything leaves.  A worker's lock on its queue tells the
living from the dead; a queue that has become empty is let go again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from gatepost.engine.delivery import Delivery
from gatepost.engine.journal import Journal
from gatepost.engine.schedule import Ticker
from gatepost.store.queue import Queue
from gatepost.store.queue_control import holds_mail
from gatepost.store.sealing import Seal
from gatepost.store.worker_queue import Taken, lock

PERIOD = 3.0


@dataclass(frozen=True, slots=True)
class Adopted:
    """A queue and who delivers its mail."""

    queue: Queue
    delivery: Delivery


class Adopter:
    """Looks for such queues now and then."""

    def __init__(
        self,
        folder: Path,
        seal: Seal,
        deliver: Callable[[Queue], Delivery],
        clock: Callable[[], datetime],
        journal: Journal,
    ) -> None:
        self._folder, self._seal, self._deliver, self._clock = folder, seal, deliver, clock
        self._adopted: dict[str, Adopted] = {}
        self._ticker = Ticker("queue.adopt", PERIOD, self._look, journal)
        self._is_first = True

    def start(self) -> None:
        """Begin to look, a while after the start: colleagues take up their own queues first."""
        self._ticker.start()

    async def stop(self, grace: timedelta) -> None:
        """Let go of every queue."""
        await self._ticker.stop()
        for name in tuple(self._adopted):
            await self._release(name, grace)

    async def _look(self) -> None:
        if self._is_first:
            self._is_first = False
            return
        for name, one in tuple(self._adopted.items()):
            if not await asyncio.to_thread(one.queue.counts):
                await self._release(name, timedelta(seconds=1))
        for path in sorted(self._folder.glob("*.db")):
            if path.stem not in self._adopted and await asyncio.to_thread(_is_left, path):
                await self._adopt(path.stem)

    async def _adopt(self, name: str) -> None:
        try:
            queue = Queue(self._folder, self._seal, name, clock=self._clock)
        except Taken:  # somebody was faster
            return
        try:
            delivery = self._deliver(queue)
            await delivery.start()
        except BaseException:  # or it would be ours for ever, and nobody's work
            await asyncio.to_thread(queue.close)
            raise
        self._adopted[name] = Adopted(queue, delivery)

    async def _release(self, name: str, grace: timedelta) -> None:
        one = self._adopted.pop(name)
        await one.delivery.stop(grace)
        await asyncio.to_thread(one.queue.close)


def _is_left(path: Path) -> bool:
    """Whether mail waits in a queue that nobody works on."""
    try:
        held = lock(path.with_suffix(".lock"))
    except Taken:
        return False
    try:
        return holds_mail(path)
    finally:
        os.close(held)
