"""Write a backup while the gateway runs.

Queue and directory are read each in one state.  Mail that leaves meanwhile is in the
backup and would be delivered twice after a restore: better than lost.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from gatepost import __version__
from gatepost.admin.access import opened
from gatepost.admin.backup import content
from gatepost.admin.backup.content import Manifest, Summary
from gatepost.admin.backup.place import KEY_FILE, STATE, named
from gatepost.config import Settings, find, read
from gatepost.engine import backend
from gatepost.engine.custody import load_kek
from gatepost.engine.service import BODIES
from gatepost.errors import ConfigError, Unavailable
from gatepost.store import schema, transfer
from gatepost.store.copying import Entry
from gatepost.store.sealing import Corrupt
from gatepost.vault import archive
from gatepost.vault.seal import Sealer


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
                writer = archive.Writer(file, passphrase)
                summary, left_out = _Saving(settings, config, writer, now).everything()
                writer.finish()
                file.flush()
                os.fsync(file.fileno())
                size = file.tell()
        except OSError as error:
            target.unlink(missing_ok=True)
            raise Unavailable(f"{target} cannot be written: {error.strerror}") from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return Saved(target, size, summary, left_out)


class _Saving:
    """One pass over an installation."""

    def __init__(
        self, settings: Settings, config: Path, writer: archive.Writer, now: datetime
    ) -> None:
        self._settings, self._config, self._writer = settings, config, writer
        self._kek = load_kek(settings)
        self._items = self._records = self._rows = 0
        self._left_out: list[str] = []
        self._manifest = Manifest(
            content.FORMAT,
            now.isoformat(),
            __version__,
            schema.HEAD,
            settings.gateway.hostname,
            settings.gateway.domains,
            str(config),
        )

    def everything(self) -> tuple[Summary, tuple[str, ...]]:
        """Write entry after entry."""
        add = self._writer.add
        add(content.MANIFEST, content.written(asdict(self._manifest)))
        add(content.KEY, self._kek.octets)
        files = tuple(self._files())
        self._queue()
        self._directory()
        summary = Summary(self._manifest, files, self._items, self._records, self._rows)
        add(content.END, content.written({"files": len(files), **summary.counts()}))
        return summary, tuple(self._left_out)

    def _files(self) -> Iterator[str]:
        """The configuration and the files it names, the sealing key aside."""
        own = read(self._config).encode()
        self._writer.add(content.FILE, content.file_entry(str(self._config), 0o644, own))
        yield str(self._config)
        named_files = {path for name, path in named(self._settings) if name not in _ELSEWHERE}
        for path in sorted(named_files):
            with path.open("rb") as file:
                mode, octets = os.fstat(file.fileno()).st_mode, file.read(archive.LARGEST)
            self._writer.add(content.FILE, content.file_entry(str(path), mode & 0o777, octets))
            yield str(path)

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
                self._writer.add(content.ROWS, content.rows_entry(table, rows))
        finally:
            database.close()


_ELSEWHERE = (STATE, KEY_FILE)
