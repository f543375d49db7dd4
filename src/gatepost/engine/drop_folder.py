"""Takes in certificates that an administrator or another system puts into a folder.

A file is read when it has not changed between two looks, by the node whose renaming of it came
first, and as a whole or not at all: then it is in `taken`, or in `rejected` beside the reason.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from gatepost.certificate import Certificate
from gatepost.config import Settings
from gatepost.engine.journal import Journal
from gatepost.engine.schedule import Ticker
from gatepost.errors import GatepostError, LimitExceeded, Malformed, Refused
from gatepost.events import Name
from gatepost.mail.address import Mailbox
from gatepost.pki.pem import MAXIMUM_FILE, read_certificates
from gatepost.pki.usable import usable_for
from gatepost.store.directory import Directory

PERIOD: Final = 5.0  # seconds between looks
MAXIMUM: Final = 200  # files at one look
ABANDONED: Final = timedelta(minutes=10)  # a node that claimed a file and ended
TAKEN, REJECTED, CLAIMED = "taken", "rejected", ".claimed"
_UNFINISHED: Final = (".tmp", ".part", ".partial", ".filepart", ".swp", "~")

Stamp = tuple[int, int, int]


class DropFolder:
    """One folder, seen by one process of perhaps many."""

    def __init__(
        self,
        folder: Path,
        directory: Directory,
        own: frozenset[str],
        clock: Callable[[], datetime],
        journal: Journal,
    ) -> None:
        self._folder, self._directory, self._own = folder, directory, own
        self._clock, self._journal = clock, journal
        self._seen: dict[str, Stamp] = {}
        self._fault = ""
        self._ticker = Ticker("folder", PERIOD, self.look, journal)

    def start(self) -> None:
        """Begin to look."""
        self._ticker.start()

    async def stop(self) -> None:
        """Look no more."""
        await self._ticker.stop()

    async def look(self) -> None:
        """Look once; that the folder cannot be read is told once."""
        try:
            await asyncio.to_thread(self._look)
        except OSError as error:
            fault = f"{error.filename or self._folder}: {error.strerror or error}"
            if fault != self._fault:
                self._journal.note(Name.SERVICE_ERROR, service="folder", reason=fault)
            self._fault = fault
        else:
            self._fault = ""

    def _look(self) -> None:
        for name in (TAKEN, REJECTED, CLAIMED):
            (self._folder / name).mkdir(exist_ok=True)
        self._give_back()
        before, self._seen = self._seen, dict(self._files())
        faults: list[OSError] = []
        for name, stamp in self._seen.items():
            if before.get(name) == stamp:
                try:
                    self._take(name, stamp)
                except OSError as error:  # a file that cannot be moved holds up no other
                    faults.append(error)
        if faults:
            raise faults[0]

    def _files(self) -> Iterator[tuple[str, Stamp]]:
        with os.scandir(self._folder) as entries:
            whole = (
                one
                for one in entries
                if not one.name.startswith(".") and not one.name.lower().endswith(_UNFINISHED)
            )
            files = (one for one in whole if one.is_file(follow_symlinks=False))
            for one in islice(files, MAXIMUM):
                with suppress(FileNotFoundError):
                    yield one.name, _stamp(one.stat(follow_symlinks=False))

    def _take(self, name: str, stamp: Stamp) -> None:
        """Claim a file, and do with it what it deserves."""
        claimed = self._folder / CLAIMED / f"{secrets.token_hex(4)}-{name}"
        try:
            (self._folder / name).rename(claimed)
        except FileNotFoundError:
            return  # another node was first
        try:
            if _stamp(claimed.lstat()) != stamp:  # put anew just now
                claimed.rename(self._folder / name)
                return
            found = self._taken_in(_read(claimed))
        except (Malformed, Refused) as error:
            self._put(claimed, name, REJECTED, str(error))
        except GatepostError:  # the directory is away: later
            claimed.rename(self._folder / name)
            raise
        else:
            self._put(claimed, name, TAKEN)
            for one, addresses in found:
                told = ", ".join(addresses)
                self._journal.note(
                    Name.FOLDER_TAKEN, file=name, fingerprint=one.fingerprint, address=told
                )

    def _taken_in(self, octets: bytes) -> list[tuple[Certificate, tuple[str, ...]]]:
        """Everything in a file, filed for the addresses it names; raises Malformed or Refused."""
        now = self._clock()
        found = [(one, self._addresses(one, now)) for one in read_certificates(octets)]
        for one, addresses in found:
            self._directory.add_certificate(one, addresses, now=now)
        return found

    def _addresses(self, one: Certificate, now: datetime) -> tuple[str, ...]:
        """Whom it is for; nobody, for an authority, which is kept to build paths."""
        if one.is_authority:
            return ()
        if reasons := usable_for(one, "encrypt", now):
            raise Refused(f"{one.name!r} cannot be encrypted to: {'; '.join(reasons)}")
        if not one.emails:
            raise Refused(f"{one.name!r} names no e-mail address")
        for address in one.emails:
            if Mailbox.parse(address).domain_key in self._own:
                raise Refused(f"{address} is ours: its certificate comes with its private key")
        return one.emails

    def _put(self, claimed: Path, name: str, where: str, reason: str = "") -> None:
        target = self._folder / where / name
        if target.exists():
            target = target.with_name(f"{claimed.name.partition('-')[0]}-{name}")
        claimed.rename(target)
        if reason:
            target.with_name(f"{target.name}.txt").write_text(f"{name}: {reason}.\n")
            self._journal.note(Name.FOLDER_REJECTED, file=name, reason=reason)

    def _give_back(self) -> None:
        """Files of a node that ended over them: the renaming is what changed them last."""
        oldest = (self._clock() - ABANDONED).timestamp()
        for one in (self._folder / CLAIMED).iterdir():
            with suppress(FileNotFoundError):
                if one.lstat().st_ctime < oldest:
                    one.rename(self._folder / one.name.partition("-")[2])


def _stamp(about: os.stat_result) -> Stamp:
    return about.st_ino, about.st_size, about.st_mtime_ns


def _read(path: Path) -> bytes:
    """The octets of a regular file of a sensible size, and of no other place."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise Malformed("it is no file")
            if about.st_size > MAXIMUM_FILE:
                raise LimitExceeded(f"{about.st_size} octets are over the limit of {MAXIMUM_FILE}")
            return file.read(MAXIMUM_FILE + 1)
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror or error}") from error


def drop_folder(
    settings: Settings,
    directory: Directory,
    own: frozenset[str],
    clock: Callable[[], datetime],
    journal: Journal,
) -> DropFolder | None:
    """Who looks into the folder, as the configuration says."""
    folder = settings.lookup.folder
    return DropFolder(folder, directory, own, clock, journal) if folder is not None else None
