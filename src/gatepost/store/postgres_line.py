"""Every connection of one worker's queue, to be cut when the worker must end.

A database that cannot be reached answers nothing: without a cut each thread would wait for
its own connection's patience, one after the other.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress

import psycopg

from gatepost.store.postgres_database import Connect, Connection


class Lines:
    """Connects as it was told to, until it is cut."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._open: list[Connection] = []
        self._lock = threading.Lock()
        self._cut = threading.Event()

    def __call__(self, address: str) -> Connection:
        """One more connection."""
        if self._cut.is_set():
            raise psycopg.OperationalError("the queue is being closed")
        connection = self._connect(address)
        with self._lock:
            self._open = [one for one in self._open if not one.closed]
            self._open.append(connection)
        if self._cut.is_set():
            connection.close()
        return connection

    def cut(self) -> None:
        """Whoever waits for an answer hears that there will be none."""
        self._cut.set()
        with self._lock:
            for one in self._open:
                _shut(one)


def _shut(connection: Connection) -> None:
    """Wake the thread that reads there; it closes the connection itself."""
    with (
        suppress(psycopg.Error, OSError),
        socket.socket(fileno=os.dup(connection.pgconn.socket)) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)
