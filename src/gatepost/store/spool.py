"""Large bodies outside memory, sealed: AES-256-GCM per 64 KiB chunk under a key per file.

The nonce is the chunk's index and a flag for the last one (the STREAM construction),
so chunks cannot be reordered, repeated or cut off unnoticed.  A file that only has to
outlive the session has no name and its key stays in memory; a queued one holds its key
sealed, bound to the file's name.  Plain text is never on disk.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gatepost.errors import Unavailable
from gatepost.mail.content import CHUNK, Content, Octets
from gatepost.store.sealing import Corrupt, Seal, unsealed

IN_MEMORY: Final = 256 * 1024

_MAGIC = b"gpspool1"
_TAG = 16
_SEALED_CHUNK = CHUNK + _TAG
_LENGTH = struct.Struct(">H")
_UNFINISHED = "unfinished-"
_SUFFIX = ".body"


class Spool:
    """A folder of sealed bodies, for one process."""

    def __init__(self, folder: Path, seal: Seal) -> None:
        self.folder = folder
        self._seal = seal
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def sink(self) -> Sink:
        """A place for a body that is just arriving."""
        return Sink(self.folder)

    def persist(self, content: Content, bond: bytes = b"") -> tuple[str, int]:
        """Write content so that it survives power loss; returns the file's name and the size.

        It opens again with the same `bond` only.

        The order is file fsync, rename, folder fsync: whoever commits the name after
        this returns never points at nothing.
        """
        name = secrets.token_hex(12) + _SUFFIX
        unfinished = self.folder / (_UNFINISHED + name)
        try:
            self._write(unfinished, _bound(name, bond), content)
            unfinished.rename(self.folder / name)
            sync_folder(self.folder)
        except OSError as error:
            _drop(unfinished)
            self.remove(name)
            raise _unwritable(error) from error
        except BaseException:
            _drop(unfinished)
            raise
        return name, content.size

    def open(self, name: str, size: int, bond: bytes = b"") -> SealedBody:
        """A persisted body; nothing is read yet."""
        return SealedBody(self.folder / name, size, self._seal, bond)

    def remove(self, name: str) -> None:
        """Remove a persisted body; one that is gone already is fine."""
        remove_body(self.folder, name)

    def names(self) -> set[str]:
        """Every persisted body's file name."""
        return {one.name for one in self.folder.glob("[!u]*" + _SUFFIX)}

    def sweep(self) -> int:
        """Remove what a crash left half written; returns how many files."""
        left = [one.name for one in self.folder.glob(_UNFINISHED + "*")]
        for name in left:
            self.remove(name)
        return len(left)

    def _write(self, path: Path, bound: bytes, content: Content) -> None:
        key = AESGCM.generate_key(256)
        sealed = self._seal.seal(key, bound)
        descriptor = _Descriptor(_create(path))
        try:
            _put(descriptor.number, _MAGIC + _LENGTH.pack(len(sealed)) + sealed)
            chunks = _ChunkWriter(descriptor, AESGCM(key))
            for chunk in content.chunks():
                chunks.write(chunk)
            chunks.finish()
            if chunks.size != content.size:
                raise Unavailable(f"content gave {chunks.size} octets instead of {content.size}")
            os.fsync(descriptor.number)
        finally:
            descriptor.close()


class Sink:
    """Takes a body in pieces: in memory up to 256 KiB, from there on in a nameless sealed file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[bytes] = []
        self._file: _ChunkWriter | None = None
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add octets; raises Unavailable when the disk does not take them."""
        self.size += len(data)
        try:
            if self._file is not None:
                self._file.write(data)
                return
            self._parts.append(bytes(data))
            if self.size > IN_MEMORY:
                self._spill()
        except OSError as error:
            self.discard()
            raise _unwritable(error) from error

    def finish(self) -> Content:
        """Everything written, readable any number of times; the sink is empty then."""
        file, self._file = self._file, None
        if file is None:
            parts, self._parts = self._parts, []
            return Octets(b"".join(parts))
        try:
            file.finish()
        except OSError as error:
            raise _unwritable(error) from error
        return SealedFile(file)

    def discard(self) -> None:
        """Forget everything."""
        self._parts = []
        if self._file is not None:
            self._file.descriptor.close()
            self._file = None

    def _spill(self) -> None:
        descriptor = _Descriptor(_nameless(self._folder))
        self._file = _ChunkWriter(descriptor, AESGCM(AESGCM.generate_key(256)))
        parts, self._parts = self._parts, []
        for part in parts:
            self._file.write(part)


class SealedFile:
    """Content in a nameless file; the file goes when this value goes."""

    __slots__ = ("_cipher", "_descriptor", "size")

    def __init__(self, written: _ChunkWriter) -> None:
        self._descriptor = written.descriptor
        self._cipher = written.cipher
        self.size = written.size

    def chunks(self) -> Iterator[bytes]:
        """Unseal 64 KiB at a time; raises Corrupt."""
        yield from _unsealed(self._descriptor, self._cipher, 0)  # keeps self, and so the file

    def close(self) -> None:
        """Free the file now."""
        self._descriptor.close()


class SealedBody:
    """Content in a persisted file, opened anew by each reading."""

    __slots__ = ("_bond", "_path", "_seal", "size")

    def __init__(self, path: Path, size: int, seal: Seal, bond: bytes = b"") -> None:
        self._path = path
        self._bond = bond
        self._seal = seal
        self.size = size

    def chunks(self) -> Iterator[bytes]:
        """Unseal 64 KiB at a time; raises Corrupt."""
        name = self._path.name
        try:
            descriptor = _Descriptor(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW))
        except FileNotFoundError as error:
            raise Corrupt(f"body {name} is gone") from error
        except OSError as error:  # too many open files, say: no reason to give the mail up
            raise Unavailable(f"body {name} cannot be opened: {error.strerror}") from error
        try:
            cipher, start = self._key(descriptor.number)
            found = _content_size(os.fstat(descriptor.number).st_size - start)
            if found != self.size:
                raise Corrupt(f"body {name} has {found} octets instead of {self.size}")
            yield from _unsealed(descriptor, cipher, start)
        except OSError as error:
            raise Unavailable(f"body {name} cannot be read: {error.strerror}") from error
        finally:
            descriptor.close()

    def check(self) -> None:
        """Read everything once, so that a damaged body is noticed before a peer hears of it."""
        for _chunk in self.chunks():
            pass

    def _key(self, number: int) -> tuple[AESGCM, int]:
        start = len(_MAGIC) + _LENGTH.size
        head = os.pread(number, start, 0)
        if len(head) != start or not head.startswith(_MAGIC):
            raise Corrupt(f"body {self._path.name} does not begin as one")
        (length,) = _LENGTH.unpack(head[len(_MAGIC) :])
        key = unsealed(
            self._seal, os.pread(number, length, start), _bound(self._path.name, self._bond)
        )
        return AESGCM(key), start + length


def free(folder: Path) -> int:
    """Octets that may still be written there; none where nobody can say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def remove_body(folder: Path, name: str) -> None:
    """Remove a persisted body; one that is gone already is fine."""
    _drop(folder / name)


def sync_folder(folder: Path) -> None:
    """Make the folder's names durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class _Descriptor:
    """A file descriptor closed once, at the latest when nobody holds it any more."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        self.close()


class _ChunkWriter:
    """Seals a stream in chunks; the last one is only known at the end, so one is held back."""

    __slots__ = ("_buffer", "_index", "cipher", "descriptor", "size")

    def __init__(self, descriptor: _Descriptor, cipher: AESGCM) -> None:
        self.descriptor = descriptor
        self.cipher = cipher
        self.size = 0
        self._buffer = bytearray()
        self._index = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self._buffer += data
        whole = (len(self._buffer) - 1) // CHUNK  # at least one octet stays for the last chunk
        if whole <= 0:
            return
        with memoryview(self._buffer) as view:
            for position in range(0, whole * CHUNK, CHUNK):
                self._seal(view[position : position + CHUNK], last=False)
        del self._buffer[: whole * CHUNK]

    def finish(self) -> None:
        self._seal(memoryview(bytes(self._buffer)), last=True)
        self._buffer = bytearray()

    def _seal(self, chunk: memoryview, *, last: bool) -> None:
        with chunk:
            sealed = self.cipher.encrypt(_nonce(self._index, last=last), chunk, _MAGIC)
        _put(self.descriptor.number, sealed)
        self._index += 1


def _unsealed(descriptor: _Descriptor, cipher: AESGCM, start: int) -> Iterator[bytes]:
    try:
        end = os.fstat(descriptor.number).st_size
        index = 0
        while start < end or index == 0:
            block = os.pread(descriptor.number, _SEALED_CHUNK, start)
            start += _SEALED_CHUNK
            chunk = cipher.decrypt(_nonce(index, last=start >= end), block, _MAGIC)
            if chunk:
                yield chunk
            index += 1
    except (InvalidTag, ValueError) as error:
        raise Corrupt(f"chunk {index} of a body does not unseal") from error
    except OSError as error:
        raise Unavailable(f"a body cannot be read: {error.strerror}") from error


def _nonce(index: int, *, last: bool) -> bytes:
    return index.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _content_size(sealed: int) -> int:
    return sealed - _TAG * -(-sealed // _SEALED_CHUNK)


def _bound(name: str, bond: bytes) -> bytes:
    return b"spool\0" + name.encode() + (b"\0" + bond if bond else b"")


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)


def _nameless(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDWR | os.O_TMPFILE, 0o600)
    except OSError:  # a file system without O_TMPFILE
        path = folder / (_UNFINISHED + secrets.token_hex(12))
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        path.unlink()
        return number


def _drop(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(error) from error


def _put(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]


def _unwritable(error: OSError) -> Unavailable:
    return Unavailable(f"the spool cannot be written: {error.strerror}")
