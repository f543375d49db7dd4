"""Sealed bodies outside memory."""

import errno
import gc
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.store.box import MARKER, TestSeal, raw

from gatepost.errors import KeyUnavailable, Unavailable
from gatepost.mail.content import CHUNK, Content, Octets, Rope, Slice, join
from gatepost.store.sealing import Corrupt
from gatepost.store.spool import IN_MEMORY, SealedBody, SealedFile, Spool

SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, IN_MEMORY, IN_MEMORY + 1, 20 * CHUNK + 7)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "bodies", TestSeal())


def text(size: int) -> bytes:
    return (MARKER * (size // len(MARKER) + 1))[:size]


def filled(spool: Spool, data: bytes, step: int = 5000) -> Content:
    sink = spool.sink()
    for position in range(0, len(data), step):
        sink.write(data[position : position + step])
    return sink.finish()


@pytest.mark.parametrize("size", SIZES)
def test_arrives_as_sent(spool: Spool, size: int) -> None:
    """A body of any size reads back octet for octet, as often as it is read."""
    data = text(size)
    content = filled(spool, data)
    assert size == content.size
    assert data == join(content) == join(content)
    assert isinstance(content, SealedFile) == (size > IN_MEMORY)


@pytest.mark.parametrize("size", SIZES)
def test_persisted(spool: Spool, size: int) -> None:
    """A queued body reads back octet for octet after a restart."""
    data = text(size)
    name, stored = spool.persist(Octets(data))
    again = Spool(spool.folder, TestSeal()).open(name, stored)
    assert (size, data) == (stored, join(again))
    assert {name} == spool.names()
    spool.remove(name)
    spool.remove(name)
    assert not spool.names()


@pytest.mark.parametrize("step", [1, 7, 70_000, 500_000])
def test_steps(spool: Spool, step: int) -> None:
    """However the network cuts a body, it is the same body."""
    data = text(IN_MEMORY + 3 * CHUNK) if step > 1 else text(IN_MEMORY + 10)
    assert data == join(filled(spool, data, step))


def test_nothing_in_clear(spool: Spool) -> None:
    """Whoever takes the disk reads no mail, neither arriving nor queued."""
    sink = spool.sink()
    sink.write(text(10 * CHUNK))
    spool.persist(Octets(text(5 * CHUNK)))
    spool.persist(Octets(MARKER))
    on_disk = raw(spool.folder)
    assert len(on_disk) > 5 * CHUNK
    assert MARKER[:20] not in on_disk


def test_nameless_file_is_sealed(spool: Spool) -> None:
    """Even the file without a name holds no clear text, for its blocks stay on the disk."""
    content = filled(spool, text(10 * CHUNK))
    assert isinstance(content, SealedFile)
    octets = os.pread(content._descriptor.number, 11 * CHUNK, 0)
    assert len(octets) > 10 * CHUNK
    assert MARKER[:20] not in octets


def test_modes(spool: Spool) -> None:
    """Other users of the machine cannot even see the names."""
    name, _ = spool.persist(Octets(MARKER))
    assert spool.folder.stat().st_mode & 0o777 == 0o700
    assert (spool.folder / name).stat().st_mode & 0o777 == 0o600


def changes(data: bytes) -> Iterator[tuple[str, bytes]]:
    chunk = CHUNK + 16
    start = len(data) - 2 * chunk - (len(data) % chunk - (len(data) - 3 * chunk) % chunk)
    yield "empty", b""
    yield "one octet missing", data[:-1]
    yield "one octet more", data + b"\0"
    yield "half", data[: len(data) // 2]
    yield "first octet", bytes([data[0] ^ 1]) + data[1:]
    yield "sealed key", data[:30] + bytes([data[30] ^ 1]) + data[31:]
    yield (
        "middle",
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    )
    yield "last octet", data[:-1] + bytes([data[-1] ^ 1])
    yield "chunk appended again", data + data[start : start + chunk]


def is_corrupt(body: SealedBody) -> bool:
    try:
        body.check()
    except Corrupt:
        return True
    return False


def test_tampering(spool: Spool) -> None:
    """A changed or shortened body never goes out as if it were whole."""
    name, size = spool.persist(Octets(text(3 * CHUNK + 100)))
    path = spool.folder / name
    original = path.read_bytes()
    for what, changed in changes(original):
        path.write_bytes(changed)
        assert is_corrupt(spool.open(name, size)), what
    path.write_bytes(original)
    spool.open(name, size).check()


def test_whole_chunks_cut_or_swapped(spool: Spool) -> None:
    """Chunks are whole by themselves; leaving one out or exchanging two is noticed all the same."""
    name, _ = spool.persist(Octets(text(4 * CHUNK)))
    path = spool.folder / name
    data = path.read_bytes()
    chunk = CHUNK + 16
    start = len(data) - 4 * chunk
    parts = [data[start + n * chunk : start + (n + 1) * chunk] for n in range(4)]
    for left in (parts[:3], parts[1:], [parts[1], parts[0], *parts[2:]], [*parts, parts[3]]):
        path.write_bytes(data[:start] + b"".join(left))
        for size in (len(left) * CHUNK, 4 * CHUNK):  # even when the row was changed to fit
            with pytest.raises(Corrupt):
                spool.open(name, size).check()


def test_files_exchanged(spool: Spool) -> None:
    """Two bodies that changed names are noticed: mail must not go to another's recipients."""
    one, size = spool.persist(Octets(b"one"))
    other, _ = spool.persist(Octets(b"two"))
    (spool.folder / one).rename(spool.folder / other)
    with pytest.raises(Corrupt):
        spool.open(other, size).check()


def test_gone(spool: Spool) -> None:
    """A body that is not there is reported, not delivered empty."""
    with pytest.raises(Corrupt):
        spool.open("abc.body", 3).check()


def test_locked_vault(spool: Spool, tmp_path: Path) -> None:
    """With the key locked away a body is unavailable, not damaged: it must not be given up."""

    class Locked(TestSeal):
        def unseal(self, data: bytes, aad: bytes, /) -> bytes:
            raise KeyUnavailable

    name, size = spool.persist(Octets(MARKER))
    with pytest.raises(KeyUnavailable):
        Spool(spool.folder, Locked()).open(name, size).check()


def test_short_content(spool: Spool) -> None:
    """Content that ends early, because its making failed, is never queued."""

    class Short:
        size = 10

        def chunks(self) -> Iterator[bytes]:
            yield b"four"

    with pytest.raises(Unavailable):
        spool.persist(Short())
    assert not list(spool.folder.iterdir())


def test_failing_content(spool: Spool) -> None:
    """A failure while the body is made leaves nothing behind."""

    class Failing:
        size = 10

        def chunks(self) -> Iterator[bytes]:
            yield b"four"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        spool.persist(Failing())
    assert not list(spool.folder.iterdir())


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
def test_full_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """A full disk is a 451 for the peer, and leaves no half body behind."""

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(Unavailable, match="No space left"):
        spool.persist(Octets(text(CHUNK)))
    monkeypatch.undo()
    assert not list(spool.folder.iterdir())


def test_full_disk_while_arriving(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills while a body arrives is a 451, too."""

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    sink = spool.sink()
    sink.write(text(IN_MEMORY))
    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(Unavailable, match="No space left"):
        sink.write(text(CHUNK))


def test_order_of_durability(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """File fsync, then its name, then the folder's fsync: otherwise power loss leaves a name without octets."""
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def synced(number: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file")
        fsync(number)

    def renamed(path: Path, target: Path) -> Path:
        steps.append("name")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    spool.persist(Octets(MARKER))
    assert steps == ["file", "name", "folder"]


def test_sweep(spool: Spool) -> None:
    """What a crash left half written is removed at the next start; whole bodies stay."""
    name, _ = spool.persist(Octets(MARKER))
    (spool.folder / "unfinished-abc.body").write_bytes(b"half")
    assert spool.sweep() == 1
    assert {name} == {path.name for path in spool.folder.iterdir()}


def test_file_lives_as_long_as_it_is_read(spool: Spool) -> None:
    """Only the rope around a body is kept by whoever delivers it; that is enough."""
    data = text(10 * CHUNK)
    rope = Rope((Octets(b"head"), Slice(filled(spool, data), 10, len(data))))
    gc.collect()
    assert b"head" + data[10:] == join(rope)
    chunks = filled(spool, data).chunks()
    gc.collect()
    assert data == b"".join(chunks)


def descriptors(folder: Path) -> int:
    """How many lead to a file there, be it without a name; others come and go."""
    count = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(one.readlink()).startswith(str(folder.resolve()))
    return count


def test_discard_closes(spool: Spool) -> None:
    """A thousand broken sessions do not use up the process's files."""
    before = descriptors(spool.folder)
    for _ in range(20):
        sink = spool.sink()
        sink.write(text(IN_MEMORY + 1))
        sink.discard()
    kept = [filled(spool, text(IN_MEMORY + 1)) for _ in range(5)]
    assert before + 5 == descriptors(spool.folder)
    del kept
    gc.collect()
    assert before == descriptors(spool.folder)


def test_without_nameless_files(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without O_TMPFILE (overlay, NFS) serves as well."""
    real = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "not supported")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    data = text(IN_MEMORY + 5)
    assert data == join(filled(spool, data))
    assert not list(spool.folder.iterdir())
