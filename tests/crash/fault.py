"""Makes any one call to disk, database, vault or network fail, and knows them all.

A point is what is called, from which function of ours, for the how-manieth time.  The same
calls are counted in a run without faults, which enumerates the points.
"""

import errno
import os
import socket
import sqlite3
import sys
import threading
from asyncio.base_events import BaseEventLoop
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from types import FrameType
from typing import Any

import psycopg
import pytest

from gatepost.errors import KeyUnavailable
from gatepost.vault.seal import Sealer

_NOT_ON_THE_WAY = {"gatepost.store.queue_control", "gatepost.store.postgres_control"}

Act = Callable[[Callable[[], Any], tuple[Any, ...]], Any]
_FILES = ("open", "write", "pread", "pwrite", "fsync", "rename", "unlink", "fstat", "statvfs")


@dataclass(frozen=True)
class Point:
    """One call."""

    where: str
    nth: int


@dataclass(frozen=True)
class Fault:
    """One way to fail."""

    name: str
    act: Act


def failing(number: int) -> Fault:
    """The call fails with this error of the system."""

    def act(_call: Callable[[], Any], _given: tuple[Any, ...]) -> Any:
        raise OSError(number, os.strerror(number))

    return Fault(errno.errorcode[number], act)


def _torn(_call: Callable[[], Any], given: tuple[Any, ...]) -> Any:
    REAL_WRITE(given[0], bytes(given[1])[: len(given[1]) // 2])
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def _short(_call: Callable[[], Any], given: tuple[Any, ...]) -> Any:
    return REAL_WRITE(given[0], bytes(given[1])[: (len(given[1]) + 1) // 2])


def _lying(_call: Callable[[], Any], given: tuple[Any, ...]) -> Any:
    """A disk that loses half of what it says it wrote."""
    octets = bytes(given[1])
    REAL_WRITE(given[0], octets[: len(octets) // 2] + bytes(len(octets) - len(octets) // 2))
    return len(octets)


def _sqlite(text: str) -> Fault:
    def act(_call: Callable[[], Any], _given: tuple[Any, ...]) -> Any:
        raise sqlite3.OperationalError(text)

    return Fault(text, act)


def _gone(_call: Callable[[], Any], given: tuple[Any, ...]) -> Any:
    given[0].connection.pgconn.finish()
    raise psycopg.OperationalError("server closed the connection unexpectedly")


def _unanswered(call: Callable[[], Any], given: tuple[Any, ...]) -> Any:
    call()
    return _gone(call, given)


def _locked(_call: Callable[[], Any], _given: tuple[Any, ...]) -> Any:
    raise KeyUnavailable("the vault is locked")


def _no_name(_call: Callable[[], Any], _given: tuple[Any, ...]) -> Any:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


REAL_WRITE = os.write
_TORN = (Fault("torn", _torn), Fault("short", _short), Fault("lying", _lying))
FAULTS: dict[str, tuple[Fault, ...]] = {
    **{f"os.{name}": (failing(errno.EIO),) for name in _FILES},
    "os.open": (failing(errno.EMFILE), failing(errno.ENOSPC)),
    "os.write": (failing(errno.ENOSPC), *_TORN),
    "os.pwrite": (failing(errno.ENOSPC),),
    "sqlite": tuple(map(_sqlite, ("disk I/O error", "database or disk is full"))),
    "postgres": (Fault("gone", _gone), Fault("unanswered", _unanswered)),
    "vault": (Fault("locked", _locked),),
    "connect": (failing(errno.ECONNREFUSED), failing(errno.EMFILE), Fault("no name", _no_name)),
}


class Faults:
    """Counts calls, and makes the one fail that is armed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.fired: str = ""
        self._armed: tuple[Point, Fault] | None = None
        self._lock = threading.Lock()

    def arm(self, point: Point, fault: Fault) -> None:
        """Let this call fail, once."""
        with self._lock:
            self.counts.clear()
            self.fired, self._armed = "", (point, fault)

    def disarm(self) -> None:
        """Let everything work again, and count from the beginning."""
        with self._lock:
            self._armed = None
            self.counts.clear()

    def points(self) -> tuple[Point, ...]:
        """Every call counted so far."""
        with self._lock:
            counted = sorted(self.counts.items())
        return tuple(Point(where, nth) for where, count in counted for nth in range(1, count + 1))

    def call(self, what: str, given: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """Run the call, or the fault in its place."""
        ours = _function(sys._getframe(2))
        if not ours:
            return call()
        return self.at(f"{what} in {ours}", given, call)

    def at(self, where: str, given: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """The same for a place that is known."""
        with self._lock:
            self.counts[where] += 1
            nth = self.counts[where]
            point, fault = self._armed or (None, None)
            fires = point is not None and (point.where, point.nth) == (where, nth)
            if fires:
                self._armed = None
        if fires and fault is not None:
            self.fired = f"{where} #{nth}: {fault.name}"
            return fault.act(call, given)
        return call()


def _function(frame: FrameType | None) -> str:
    """The function of the product that called, if it is not the administrator's or the test's."""
    found = ""
    for _ in range(20):
        if frame is None:
            break
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("tests.") or module in _NOT_ON_THE_WAY:
            return ""
        if not found and module.startswith("gatepost."):
            found = f"{module.removeprefix('gatepost.')}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return found


def kind(point: Point) -> str:
    """Which faults fit."""
    return point.where.split()[0]


def installed(patch: pytest.MonkeyPatch) -> Faults:
    """Put the layer under this process."""
    faults = Faults()
    for name in _FILES:
        patch.setattr(os, name, _wrapped(faults, f"os.{name}", getattr(os, name)))
    for name in ("seal", "unseal", "stream", "resume"):
        patch.setattr(Sealer, name, _wrapped(faults, f"vault {name}", getattr(Sealer, name)))
    for name in ("execute", "executemany"):
        patch.setattr(
            psycopg.Cursor, name, _spoken(faults, "postgres", getattr(psycopg.Cursor, name))
        )
    connect = BaseEventLoop.create_connection
    patch.setattr(BaseEventLoop, "create_connection", _wrapped(faults, "connect", connect))
    _install_sqlite(faults, patch)
    return faults


def _wrapped(faults: Faults, what: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def run(*given: Any, **named: Any) -> Any:
        return faults.call(what, given, lambda: real(*given, **named))

    return run


def _spoken(faults: Faults, what: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """A database's call: the words of the statement tell it from others."""

    @wraps(real)
    def run(*given: Any, **named: Any) -> Any:
        said = given[1].decode() if isinstance(given[1], bytes) else str(given[1])
        words = " ".join(said.split()[:3])
        return faults.call(f"{what} {words}", given, lambda: real(*given, **named))

    return run


def _install_sqlite(faults: Faults, patch: pytest.MonkeyPatch) -> None:
    class Cursor(sqlite3.Cursor):
        execute = _spoken(faults, "sqlite", sqlite3.Cursor.execute)
        executemany = _spoken(faults, "sqlite", sqlite3.Cursor.executemany)

    class Connection(sqlite3.Connection):
        execute = _spoken(faults, "sqlite", sqlite3.Connection.execute)

        def cursor(self, *_: Any) -> Any:
            return super().cursor(Cursor)

    real = sqlite3.connect

    def connect(*given: Any, **named: Any) -> sqlite3.Connection:
        made: sqlite3.Connection = real(*given, **{"factory": Connection, **named})
        return made

    patch.setattr(sqlite3, "connect", connect)
    patch.setattr(sqlite3.dbapi2, "connect", connect)
