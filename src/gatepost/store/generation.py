"""Notice what other processes changed, in microseconds.

SQLite tells a connection whenever another one committed (PRAGMA data_version); only then is
our own counter read, which moves for changes that matter and not for a date last seen.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from gatepost.errors import Unavailable

KEY = "generation"


class Generation:
    """Counts the changes of one database file, seen from a connection that never writes."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lock = threading.Lock()
        self._version = -1
        self._value = 0

    def read(self) -> int:
        """The current number: the same as before means that nothing changed."""
        try:
            return self._read()
        except sqlite3.Error as error:
            raise Unavailable(f"the directory cannot be used now: {error}") from error

    def _read(self) -> int:
        with self._lock:
            version = self._connection.execute("PRAGMA data_version").fetchall()[0][0]
            if version != self._version:
                found = self._connection.execute(
                    "SELECT value FROM setting WHERE key = ?", (KEY,)
                ).fetchall()
                self._value = int(found[0][0]) if found else 0
                self._version = version
            return self._value

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._connection.close()
