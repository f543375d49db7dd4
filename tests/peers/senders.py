"""Threads that send for as long as the block around them lasts."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Self


class Senders(ABC):
    """So many of them, each with a number."""

    def __init__(self, count: int) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]

    @abstractmethod
    def _run(self, number: int) -> None:
        """Send until `_stop` is set."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
