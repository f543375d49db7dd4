"""Write a backup while the gateway runs.

Queue and directory are read each in one state.  Mail that leaves meanwhile is in the
backup and would be delivered twice after a restore: better than lost.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from gatepost import __version__
from gatepost.admin.access import opened
from gatepost.admin.backup import content
from gatepost.admin.backup.content import File, Manifest, Summary
from gatepost.admin.backup.place import KEY_FILE, STATE, named
from gatepost.config import Settings, find, read
from gatepost.engine import backend
from gatepost.engine.custody import BODIES, load_kek
from gatepost.errors import ConfigError, Unavailable
from gatepost.lookup.policy_file import FOLDER
from gatepost.mail.content import CHUNK
from gatepost.store import schema, transfer
from gatepost.store.copying import Entry
from gatepost.store.sealing import Corrupt
from gatepost.vault import archive
from gatepost.vault.seal import Sealer

_ATTEMPTS = 3
_LARGEST = 64 << 20  # octets of a file: a list of addresses
# Settings whose files are not in it, or stand there by another way.
_ELSEWHERE = (STATE, KEY_FILE, ("vault", "token", "module"))


@dataclass(frozen=True, slots=True)
class Saved:
    """A backup that was written."""

    path: Path
    size: int
    summary: Summary
    left_out: tuple[str, ...]  # items whose body cannot be read, or left meanwhile

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        told = {"path": str(self.path), "size": self.size, "left_out": list(self.left_out)}
        return {**told, **self.summary.as_data()}


def save(config: Path | None, target: Path, passphrase: str, now: datetime) -> Saved:
    """Write everything into a new file; raises ConfigError when that exists."""
    config = (config or find()).absolute()
    passphrase = archive.fit(passphrase)
    with opened(config) as (settings, _):
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise ConfigError(f"{target} exists already; it was not touched") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                saving = _written(settings, config, file, passphrase, now)
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
        except OSError as error:
            target.unlink(missing_ok=True)
            raise Unavailable(f"{target} cannot be written: {error.strerror}") from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return Saved(target, size, saving.summary, saving.left_out)


def _written(
    settings: Settings, config: Path, file: BinaryIO, passphrase: str, now: datetime
) -> _Saving:
    """Begin anew when the keys were changed meanwhile: their boxes need a key that is in it."""
    for _ in range(_ATTEMPTS):
        file.seek(0)
        file.truncate()
        writer = archive.Writer(file, passphrase)
        saving = _Saving(settings, config, writer, now)
        saving.everything()
        writer.finish()
        if saving.has_every_key():
            return saving
    raise Unavailable("the vault's key was changed while the backup was written; try again")


class _Saving:
    """One pass over an installation."""

    def __init__(
        self, settings: Settings, config: Path, writer: archive.Writer, now: datetime
    ) -> None:
        self._settings, self._config, self._writer = settings, config, writer
        self._kek = load_kek(settings)
        self._items = self._records = self._rows = 0
        self._left_out: list[str] = []
        self._files_added: list[str] = []
        self._manifest = Manifest(
            content.FORMAT,
            now.isoformat(),
            __version__,
            schema.HEAD,
            settings.gateway.hostname,
            settings.gateway.domains,
            str(config),
        )

    @property
    def summary(self) -> Summary:
        """What is in it."""
        files = tuple(self._files_added)
        return Summary(self._manifest, files, self._items, self._records, self._rows)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Items whose body cannot be read."""
        return tuple(self._left_out)

    def has_every_key(self) -> bool:
        """Whether nothing can be sealed under a key that is not in it."""
        return set(load_kek(self._settings).each) <= set(self._kek.each)

    def everything(self) -> None:
        """Write entry after entry."""
        add = self._writer.add
        add(content.MANIFEST, content.written(asdict(self._manifest)))
        add(content.KEY, self._kek.octets)
        self._files()
        self._queue()
        self._directory()
        counts = {"files": len(self._files_added), **self.summary.counts()}
        add(content.END, content.written(counts))

    def _files(self) -> None:
        """The configuration and the files it names, the sealing key aside."""
        own = read(self._config).encode()
        self._file(File(str(self._config), 0o644, own))
        named_files = {path for name, path in named(self._settings) if name not in _ELSEWHERE}
        for path in sorted(one for one in named_files if not one.is_dir()):
            self._file(_kept(path))
        # What domains promised about their TLS must not be forgotten (RFC 8461 section 10.2).
        for path in sorted((self._settings.gateway.state / FOLDER).glob("*.json")):
            with suppress(FileNotFoundError):  # it ended meanwhile
                self._file(File(str(path), 0o600, path.read_bytes(), f"{FOLDER}/{path.name}"))

    def _file(self, file: File) -> None:
        self._writer.add(content.FILE, file.as_entry())
        self._files_added.append(file.path)

    def _queue(self) -> None:
        with ExitStack() as stack:
            sources = backend.queue_sources(self._settings, Sealer(self._kek, BODIES), stack)
            for source in sources:
                for entry in source.items():
                    self._item(entry)
            for source in sources:
                for rows in source.records():
                    self._records += len(rows)
                    self._writer.add(content.RECORDS, content.written(rows))

    def _item(self, entry: Entry) -> None:
        body = iter(entry.content.chunks())
        try:
            if entry.content.size > CHUNK:  # damaged anywhere, it must not end the whole backup
                for _ in entry.content.chunks():
                    pass
            first = next(body, b"")
        except Corrupt:
            self._left_out.append(entry.id)
            return
        self._items += 1
        self._writer.add(content.ITEM, content.written(list(entry.values)))
        for chunk in chain((first,), body):
            if chunk:
                self._writer.add(content.BODY, chunk)

    def _directory(self) -> None:
        database = backend.directory_database(self._settings)
        try:
            for table, rows in transfer.rows(database):
                self._rows += len(rows)
                self._add_rows(table, rows)
        finally:
            database.close()

    def _add_rows(self, table: str, rows: list[dict[str, Any]]) -> None:
        """One entry, or as many as it takes."""
        payload = content.rows_entry(table, rows)
        if len(payload) <= archive.LARGEST or len(rows) == 1:
            self._writer.add(content.ROWS, payload)
            return
        half = len(rows) // 2
        self._add_rows(table, rows[:half])
        self._add_rows(table, rows[half:])


def _kept(path: Path) -> File:
    """A file that the configuration names; raises ConfigError."""
    try:
        with path.open("rb") as file:
            mode, octets = os.fstat(file.fileno()).st_mode, file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read, and the configuration names it: {error.strerror}"
        ) from error
    if len(octets) > _LARGEST:
        raise ConfigError(f"{path} is larger than {_LARGEST >> 20} MiB")
    return File(str(path), mode & 0o777, octets)
