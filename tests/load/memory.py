"""What processes take of the machine's memory."""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

MIB = 1 << 20


def resident(pids: Iterable[int]) -> int:
    """Octets in memory of all of them together."""
    total = 0
    for pid in pids:
        try:
            pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        except FileNotFoundError:
            continue
        total += int(pages) * 4096
    return total


class Peak:
    """The most they took while this was open."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)
        self.before = self.most = resident(self._pids)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def growth(self) -> int:
        """Octets."""
        return self.most - self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            self.most = max(self.most, resident(self._pids))
            time.sleep(0.02)
