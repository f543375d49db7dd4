"""Bring an installation back from its backup, on this machine or another.

The whole file is read and checked first; then everything is written or, on any failure,
taken away again.  Nothing that is there is overwritten.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatepost.admin.backup import content
from gatepost.admin.backup.content import File, Manifest, Summary
from gatepost.admin.backup.place import moved, rewritten
from gatepost.config import Settings, load
from gatepost.engine import backend
from gatepost.engine.custody import BODIES, kek_source, load_kek
from gatepost.engine.supervisor import LOCK, locked
from gatepost.errors import ConfigError, KeyUnavailable, Unavailable
from gatepost.store import schema, transfer
from gatepost.store.copying import FIRST, Entry, Target
from gatepost.vault import archive
from gatepost.vault.kek import Kek
from gatepost.vault.seal import SealBroken, Sealer

_COMPANIONS = (".db-wal", ".db-shm")  # SQLite's own
_ODD = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
_KEY_BESIDE = "vault.key"  # where the key goes when it came from nowhere on the disk


@dataclass(frozen=True, slots=True)
class Restored:
    """What stands there now."""

    config: Path
    state: Path
    written: tuple[Path, ...]
    kept: tuple[Path, ...]  # files that were there already
    summary: Summary
    remark: str  # what is left to do

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "config": str(self.config),
            "state": str(self.state),
            "written": [str(one) for one in self.written],
            "kept": [str(one) for one in self.kept],
            "remark": self.remark,
            "backup": self.summary.as_data(),
        }


def inspect(path: Path, passphrase: str) -> Summary:
    """Read everything and say what it is; raises SealBroken when it is not whole."""
    with path.open("rb") as file:
        return _counted(archive.entries(file, archive.fit(passphrase)))


def restore(path: Path, passphrase: str, config: Path, state: Path | None) -> Restored:
    """Restore; `config` may be there already, otherwise it comes from the backup."""
    summary = inspect(path, passphrase)
    if summary.manifest.schema > schema.HEAD:
        raise ConfigError(
            f"the backup's directory has schema {summary.manifest.schema}, this Gatepost knows"
            f" {schema.HEAD}",
            hint="upgrade first",
        )
    made: list[Path] = []
    with path.open("rb") as file:
        entries = _Entries(archive.entries(file, archive.fit(passphrase)))
        try:
            return _Restoring(entries, summary, config.absolute(), state, made).everything()
        except BaseException:
            for one in reversed(made):
                _remove(one)
            raise


class _Entries:
    """Entries with a look at the next one."""

    def __init__(self, entries: Iterator[archive.Entry]) -> None:
        self._entries = entries
        self._next = next(entries, (b"", b""))

    def of(self, kind: bytes) -> Iterator[bytes]:
        """The payloads up to the first entry of another kind."""
        while self._next[0] == kind:
            yield self.take()

    def take(self) -> bytes:
        """The next payload, whatever it is."""
        payload = self._next[1]
        self._next = next(self._entries, (b"", b""))
        return payload


class _Body:
    """A body that can be read once, as it comes."""

    def __init__(self, size: int, chunks: Iterator[bytes]) -> None:
        self.size, self._chunks = size, chunks

    def chunks(self) -> Iterator[bytes]:
        """The octets."""
        return self._chunks


class _Restoring:
    """One pass over a backup."""

    def __init__(
        self,
        entries: _Entries,
        summary: Summary,
        config: Path,
        state: Path | None,
        made: list[Path],
    ) -> None:
        self._entries, self._summary, self._config, self._made = entries, summary, config, made
        self._state = state.absolute() if state is not None else None
        self._kept: list[Path] = []
        self._remark = ""

    def everything(self) -> Restored:
        """Write; the configuration last, so that it never names what is not there."""
        self._entries.take()  # the manifest
        key = Kek.of(self._entries.take())
        files = {one.path: one for one in map(File.of, self._entries.of(content.FILE))}
        text, settings = self._settings(files.pop(self._summary.manifest.config).octets)
        self._consider(settings)
        self._folder(settings.gateway.state, 0o700)
        lock = locked(settings.gateway.state)
        try:
            self._key(settings, key)
            for one in files.values():
                self._file(self._place(one, settings), one.octets, one.mode)
            self._stores(settings, Sealer(key, BODIES))
            if text is not None:
                self._file(self._config, text.encode(), 0o644)
        finally:
            os.close(lock)
            (settings.gateway.state / LOCK).unlink(missing_ok=True)
        written = tuple(one for one in self._made if one.is_file())
        state = settings.gateway.state
        return Restored(
            self._config, state, written, tuple(self._kept), self._summary, self._remark
        )

    def _place(self, file: File, settings: Settings) -> Path:
        if file.below:
            return settings.gateway.state / file.below
        return moved(Path(file.path), Path(self._summary.manifest.config), self._config)

    def _settings(self, octets: bytes) -> tuple[str | None, Settings]:
        """The configuration to write, if one is lacking, and what holds."""
        if self._config.exists():
            self._kept.append(self._config)
            settings = load(self._config)
            if self._state is not None and settings.gateway.state != self._state:
                raise ConfigError(f"{self._config} says that the state is {settings.gateway.state}")
            return None, settings
        old = Path(self._summary.manifest.config)
        return rewritten(octets.decode(), old, self._config, self._state)

    def _consider(self, settings: Settings) -> None:
        """Nothing living may be there."""
        place = backend.directory_path(settings)
        queue = settings.gateway.queue_folder
        living = [one for one in (place, *queue.glob("*.db")) if one is not None and one.exists()]
        if living:
            raise ConfigError(
                f"there is a living state already: {living[0]}; nothing was changed",
                hint="move it away, or restore with --config and --state elsewhere",
            )

    def _key(self, settings: Settings, key: Kek) -> None:
        source = kek_source(settings)
        path = settings.vault.key_file
        if path is None or path.exists():
            try:
                found = load_kek(settings)
            except KeyUnavailable:
                path = self._config.parent / _KEY_BESIDE
                self._remark = f"the key lies in {path}: bring it to {source}, then remove the file"
            else:
                if found != key:
                    raise ConfigError(
                        f"{source} holds another key than the backup; nothing was changed",
                        hint="move it away, or restore with --config elsewhere",
                    )
                return
        text = "".join(
            f"{one.key.hex()}\n" for one in key.each
        )  # gatepost vault wrap wraps it again
        self._file(path, text.encode(), 0o600)

    def _stores(self, settings: Settings, seal: Sealer) -> None:
        if not settings.queue_database.address:
            folder = settings.gateway.queue_folder
            self._folder(folder, 0o700)
            self._made += [folder / f"{FIRST}{end}" for end in (".db", *_COMPANIONS, ".bodies")]
        if (path := backend.directory_path(settings)) is not None:
            self._made += [path, *(path.with_suffix(end) for end in _COMPANIONS)]
        database = backend.directory_database(settings)
        try:
            with backend.queue_target(settings, seal) as target:
                self._queue(target)
                transfer.fill(database, self._rows())
        finally:
            database.close()

    def _queue(self, target: Target) -> None:
        for payload in self._entries.of(content.ITEM):
            values = tuple(content.read(payload))
            target.add(Entry(values, _Body(int(values[-1]), self._entries.of(content.BODY))))
        for payload in self._entries.of(content.RECORDS):
            target.add_records([tuple(row) for row in content.read(payload)])

    def _rows(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        for payload in self._entries.of(content.ROWS):
            told = content.read(payload)
            yield told["table"], told["rows"]

    def _folder(self, folder: Path, mode: int) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            one.mkdir(mode=mode)
            self._made.append(one)

    def _file(self, path: Path, octets: bytes, mode: int) -> None:
        self._folder(path.parent, 0o755)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            self._kept.append(path)
            return
        self._made.append(path)
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())


def _counted(entries: Iterator[archive.Entry]) -> Summary:
    """Read to the end; raises SealBroken unless everything is in its order and complete."""
    try:
        return _summary(entries)
    except _ODD as error:
        raise SealBroken(f"the backup cannot be understood: {type(error).__name__}") from error


def _summary(entries: Iterator[archive.Entry]) -> Summary:
    kind, payload = next(entries, (b"", b""))
    if kind != content.MANIFEST:
        raise ValueError(kind)
    told = content.read(payload)
    if told["format"] != content.FORMAT:
        raise ConfigError(f"the backup has format {told['format']}", hint="upgrade first")
    manifest = Manifest(**{**told, "domains": tuple(told["domains"])})
    count = _Count()
    for kind, payload in entries:
        count.see(kind, payload)
    if count.owed or count.end != {"files": len(count.files), **count.counts}:
        raise ValueError("counts")
    return Summary(manifest, tuple(count.files), **count.counts)


@dataclass(slots=True)
class _Count:
    """What has been seen of a backup."""

    files: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("items", "records", "rows"), 0)
    )
    owed: int = 0  # octets of the present body
    end: object = None
    _place: int = 0

    def see(self, kind: bytes, payload: bytes) -> None:
        """Count an entry; raises ValueError when another one is due."""
        place = content.ORDER.index(content.ITEM if kind == content.BODY else kind)
        if place < self._place or bool(self.owed) is not (kind == content.BODY):
            raise ValueError(kind)
        self._place = place
        match kind:
            case content.FILE:
                self.files.append(File.of(payload).path)
            case content.ITEM:
                self.counts["items"] += 1
                self.owed = int(content.read(payload)[-1])
            case content.BODY:
                self.owed -= len(payload)
            case content.RECORDS:
                self.counts["records"] += len(content.read(payload))
            case content.ROWS:
                self.counts["rows"] += len(content.read(payload)["rows"])
            case content.END:
                self.end = content.read(payload)


def _remove(path: Path) -> None:
    try:
        if path.is_dir():
            shutil.rmtree(path)  # made by this run, so everything in it is, too
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise Unavailable(f"{path} cannot be removed: {error.strerror}") from error
