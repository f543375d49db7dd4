"""A folder into which somebody puts certificates, in any usual form (RFC 7468, RFC 2315).

Each version of a file is read once.  What is no certificate is told of and otherwise ignored;
links are not followed, and names that begin with a dot are of files still being copied.
"""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from gatepost.certificate import Certificate
from gatepost.enrol import receipt
from gatepost.errors import GatepostError, Malformed, Unavailable
from gatepost.pki.pem import read_certificates

LARGEST: Final = 1 << 20  # octets of one file
MOST: Final = 10_000  # files
FRESH: Final = timedelta(seconds=5)  # thousands of requests look at one folder in one go


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in an inbox."""

    by_key: dict[bytes, list[Certificate]]
    authorities: tuple[Certificate, ...]
    unreadable: tuple[tuple[str, str], ...]  # name, why

    def complaint(self, inbox: Path) -> str:
        """What to tell about files that are no certificates."""
        if not self.unreadable:
            return ""
        name, why = self.unreadable[0]
        count = len(self.unreadable)
        others = "" if count == 1 else f" (one of {count} such files)"
        return f"; {inbox / name} is of no use: {why}{others}"


_Version = tuple[int, int, int]  # inode, time of change, octets


@dataclass(slots=True)
class Inbox:
    """Reads each version of a file once; asked by several threads."""

    folder: Path
    _known: dict[str, tuple[_Version, tuple[Certificate, ...], str]] = field(default_factory=dict)
    _found: Found = field(default_factory=lambda: Found({}, (), ()))
    _at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, now: datetime) -> Found:
        """Everything there is, or was some seconds ago; raises Unavailable."""
        with self._lock:
            if self._at is not None and timedelta(0) <= now - self._at < FRESH:
                return self._found
            try:
                present = self._present()
            except OSError as error:
                raise unusable(self.folder, error) from error
            same = {one: kept[0] for one, kept in self._known.items()} == present
            if not same:
                self._known = {one: self._kept(one, is_) for one, is_ in present.items()}
                self._found = _sorted(self._known)
            self._at = now
            return self._found

    def _present(self) -> dict[str, _Version]:
        found: dict[str, _Version] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name[0] == "." or not entry.is_file(follow_symlinks=False):
                    continue
                status = entry.stat(follow_symlinks=False)
                found[entry.name] = status.st_ino, status.st_mtime_ns, status.st_size
                if len(found) > MOST:
                    raise Unavailable(f"{self.folder} holds more than {MOST} files: clear it up")
        return found

    def _kept(self, name: str, version: _Version) -> tuple[_Version, tuple[Certificate, ...], str]:
        known = self._known.get(name)
        if known is not None and known[0] == version:
            return known
        try:
            return version, read_certificates(_octets(self.folder / name)), ""
        except OSError as error:
            return version, (), error.strerror or "it cannot be read"
        except GatepostError as error:
            return version, (), str(error)[:200]


def _sorted(known: dict[str, tuple[_Version, tuple[Certificate, ...], str]]) -> Found:
    by_key: dict[bytes, list[Certificate]] = {}
    authorities: list[Certificate] = []
    for name in sorted(known):
        for one in known[name][1]:
            if one.is_authority:
                authorities.append(one)
            elif (key := receipt.key_of(one)) is not None:
                by_key.setdefault(key, []).append(one)
    unreadable = tuple((name, known[name][2]) for name in sorted(known) if known[name][2])
    return Found(by_key, tuple(authorities), unreadable)


def _octets(path: Path) -> bytes:
    """No link is followed out of the folder, and nothing is waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Malformed("it is no file")
        if status.st_size > LARGEST:
            raise Malformed(f"its {status.st_size} octets are more than {LARGEST}")
        return file.read(LARGEST)


def unusable(folder: Path, error: OSError) -> Unavailable:
    """What to tell of a folder that is missing or shut."""
    return Unavailable(
        f"the folder {folder} cannot be used: {error.strerror or error}; it must be there, and"
        " open to the user gatepost runs as"
    )
