"""One file sealed under a passphrase: entries of a kind and a payload, read and written in order.

The key comes from the passphrase by scrypt (RFC 7914); the entries are sealed as a stream
of 64 KiB chunks, so what was altered, cut short or continued does not unseal.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.vault.kek import Kek
from gatepost.vault.seal import SealBroken, Sealer
from gatepost.vault.stream import CHUNK, HEADER, SEALED_CHUNK, ChunkSealer

MAGIC: Final = b"gatepost-backup "
VERSION: Final = b"1\n"
LARGEST: Final = 1 << 27  # octets of one entry: a record of evidence in base64
SHORTEST: Final = 12  # characters of a passphrase
_COST: Final = 17  # scrypt's N is 2^17: 128 MiB and some tenths of a second
_HIGHEST_COST: Final = 20
_MEMORY: Final = (1 << 31) - 1
_SALT: Final = 16
_ENTRY: Final = struct.Struct(">cI")

Entry = tuple[bytes, bytes]


class WrongSecret(ConfigError):
    """The passphrase does not open this file."""


def fit(passphrase: str) -> str:
    """The passphrase as it is used; raises ConfigError for one that is guessed too soon."""
    passphrase = passphrase.strip()
    if len(passphrase) < SHORTEST:
        raise ConfigError(
            f"the passphrase is shorter than {SHORTEST} characters",
            hint="openssl rand -hex 32 makes a recovery key nobody guesses",
        )
    return passphrase


class Writer:
    """Seals entries into a file."""

    def __init__(self, file: BinaryIO, passphrase: str, cost: int = _COST) -> None:
        head = MAGIC + VERSION + bytes((cost,)) + os.urandom(_SALT)
        self._file = file
        self._sealer: ChunkSealer = _sealer(passphrase, head).stream(head)
        self._buffer = bytearray()
        self._index = 0
        file.write(head + self._sealer.header)

    def add(self, kind: bytes, payload: bytes) -> None:
        """Add an entry."""
        if len(payload) > LARGEST:
            raise ValueError(f"an entry of {len(payload)} octets")
        self._buffer += _ENTRY.pack(kind, len(payload)) + payload
        while len(self._buffer) > CHUNK:  # the last chunk is known at the end only
            self._write(bytes(self._buffer[:CHUNK]), final=False)
            del self._buffer[:CHUNK]

    def finish(self) -> None:
        """Write what is left; without it the file does not open."""
        self._write(bytes(self._buffer), final=True)

    def _write(self, data: bytes, *, final: bool) -> None:
        self._file.write(self._sealer.seal_chunk(self._index, data, final=final))
        self._index += 1


def entries(file: BinaryIO, passphrase: str) -> Iterator[Entry]:
    """Every entry; raises WrongSecret at the first, SealBroken wherever it is damaged."""
    plain = _Plain(file, passphrase)
    while head := plain.read(_ENTRY.size):
        if len(head) != _ENTRY.size:
            raise SealBroken("the backup ends within an entry")
        kind, length = _ENTRY.unpack(head)
        if length > LARGEST:
            raise SealBroken(f"the backup has an entry of {length} octets")
        payload = plain.read(length)
        if len(payload) != length:
            raise SealBroken("the backup ends within an entry")
        yield kind, payload


class _Plain:
    """What the chunks hold, as one stream."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        head = file.read(len(MAGIC) + len(VERSION) + 1 + _SALT)
        if not head.startswith(MAGIC):
            raise ConfigError("this is no Gatepost backup")
        if not head.startswith(MAGIC + VERSION):
            raise ConfigError("this backup was written by a newer Gatepost", hint="upgrade first")
        header = file.read(HEADER)
        if len(header) != HEADER:
            raise SealBroken("the backup ends within its first octets")
        self._sealer = _resumed(passphrase, head, header)
        self._file = file
        self._next = file.read(SEALED_CHUNK)
        if not self._next:
            raise SealBroken("the backup ends within its first octets")
        self._index = 0
        self._buffer = io.BytesIO()

    def read(self, size: int) -> bytes:
        """So many octets; fewer at the end."""
        found = self._buffer.read(size)
        while len(found) < size and self._next:
            self._buffer = io.BytesIO(self._chunk())
            found += self._buffer.read(size - len(found))
        return found

    def _chunk(self) -> bytes:
        sealed, self._next = self._next, self._file.read(SEALED_CHUNK)
        data = self._sealer.unseal_chunk(self._index, sealed, final=not self._next)
        self._index += 1
        return data


def _sealer(passphrase: str, head: bytes) -> Sealer:
    cost, salt = head[-_SALT - 1], head[-_SALT:]
    if not 1 <= cost <= _HIGHEST_COST:
        raise SealBroken(f"the backup asks for 2^{cost} steps to make its key")
    key = hashlib.scrypt(
        passphrase.encode(), salt=salt, n=1 << cost, r=8, p=1, maxmem=_MEMORY, dklen=32
    )
    return Sealer(Kek(key), "backup")


def _resumed(passphrase: str, head: bytes, header: bytes) -> ChunkSealer:
    try:
        return _sealer(passphrase, head).resume(header, head)
    except KeyUnavailable as error:
        raise WrongSecret(
            "the passphrase does not open this backup",
            hint="it is the one given when the backup was made",
        ) from error
