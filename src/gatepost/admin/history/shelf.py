"""Files of a folder and of the zip archives in it, one by one, bounded in number and size.

A zip archive says of itself what it likes: what counts is what really comes out of it.
"""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gatepost.errors import ConfigError
from gatepost.pki.pem import MAXIMUM_FILE

KINDS: Final = frozenset({".p12", ".pfx", ".pem", ".key", ".crt", ".cer", ".der", ".p7b", ".p8"})
ARCHIVE: Final = ".zip"
MAXIMUM_FILES: Final = 100_000
MAXIMUM_UNPACKED: Final = 1 << 30  # octets out of one archive
# What the library and its decompressors raise over archives that are not what they say.
_FAULTS = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError, IndexError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)


@dataclass(frozen=True, slots=True)
class File:
    """One file, or why it was not read."""

    name: str  # within what was given
    octets: bytes = field(default=b"", repr=False)
    fault: str = ""


def files(place: Path) -> Iterator[File]:
    """Every file that may hold a key or certificates; raises ConfigError for no such place."""
    if not place.exists():
        raise ConfigError(f"{place} is not there")
    for number, path in enumerate(_paths(place)):
        name = str(path.relative_to(place)) if path != place else path.name
        if number >= MAXIMUM_FILES:
            yield File(name, fault=f"it and all after it: more than {MAXIMUM_FILES} files")
            return
        if path.suffix.lower() == ARCHIVE:
            yield from _unpacked(path, name)
        else:
            yield _read(path, name)


def _paths(place: Path) -> Iterator[Path]:
    """In the order of their names; links lead nowhere."""
    if not place.is_dir():
        yield place
        return
    for folder, folders, names in os.walk(place):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            wanted = path.suffix.lower() in KINDS | {ARCHIVE}
            if wanted and path.is_file() and not path.is_symlink():
                yield path


def _read(path: Path, name: str) -> File:
    try:
        with path.open("rb") as file:
            return _bounded(name, file.read(MAXIMUM_FILE + 1))
    except OSError as error:
        return File(name, fault=f"it cannot be read: {error.strerror}")


def _bounded(name: str, octets: bytes) -> File:
    if len(octets) > MAXIMUM_FILE:
        return File(name, fault=f"it is larger than {MAXIMUM_FILE >> 20} MiB")
    return File(name, octets)


def _unpacked(path: Path, name: str) -> Iterator[File]:
    left = MAXIMUM_UNPACKED
    try:
        with zipfile.ZipFile(path) as archive:
            for number, one in enumerate(archive.infolist()):
                inside = f"{name}/{one.filename}"
                if one.is_dir() or Path(one.filename).suffix.lower() not in KINDS:
                    continue
                if number >= MAXIMUM_FILES or left <= 0:
                    yield File(inside, fault="it and all after it: the archive holds too much")
                    return
                found = _member(archive, one, inside)
                left -= len(found.octets)
                yield found
    except _FAULTS as error:
        yield File(name, fault=f"it is no zip archive that can be read: {error}")


def _member(archive: zipfile.ZipFile, one: zipfile.ZipInfo, name: str) -> File:
    if one.flag_bits & 1:
        return File(name, fault="it is encrypted in its zip archive: unpack that first")
    try:
        with archive.open(one) as file:  # unpacks no more than is asked for
            return _bounded(name, file.read(MAXIMUM_FILE + 1))
    except _FAULTS as error:
        return File(name, fault=f"it cannot be unpacked: {error}")
