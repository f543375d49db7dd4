"""The key-encryption key: where it comes from and how it is kept out of sight.

32 octets in a file of its owner alone, an environment variable or a systemd credential;
written as hex, base64 or raw, or wrapped (`vault.wrap`).  Everything sealed hangs on it.
While it is changed there is a key in each line: the first seals, the others still open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar

from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.vault.wrap import Wrap

SIZE = 32
MAXIMUM_FILE = 4096
MAXIMUM_KEYS = 8
PAUSE = 1.0  # seconds between two looks at the file
Kind = Literal["file", "environment", "credential"]
_Mark = tuple[int, int]  # of a file: which one it is, and when it was written
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_KINDS: dict[str, Kind] = {
    "file": "file",
    "env": "environment",
    "environment": "environment",
    "credential": "credential",
}


@dataclass(frozen=True, slots=True)
class Kek:
    """A key-encryption key.  Printing it shows its id only."""

    key: bytes = field(repr=False)
    others: tuple[bytes, ...] = field(default=(), repr=False)  # these open, but seal no more

    def __post_init__(self) -> None:
        for one in (self.key, *self.others):
            if len(one) != SIZE:
                raise KeyUnavailable(
                    f"a key-encryption key has {SIZE} octets, this one has {len(one)}"
                )

    @classmethod
    def of(cls, octets: bytes) -> Kek:
        """Several keys on end, as `octets` gives them."""
        cut = [octets[at : at + SIZE] for at in range(0, max(len(octets), 1), SIZE)]
        return cls(cut[0], tuple(cut[1:]))

    @property
    def octets(self) -> bytes:
        """Every key, that which seals first."""
        return b"".join((self.key, *self.others))

    @property
    def each(self) -> tuple[Kek, ...]:
        """Every key by itself."""
        return tuple(Kek(one) for one in (self.key, *self.others))

    @property
    def id(self) -> bytes:
        """Four octets that tell keys apart without telling anything about them."""
        return hmac.digest(self.key, b"gatepost kek id", hashlib.sha256)[:4]

    def __repr__(self) -> str:
        return f"Kek(id={self.id.hex()})"


@dataclass(frozen=True, slots=True)
class KekSource:
    """Where the key is: a path, a variable's name or a credential's name."""

    kind: Kind
    name: str

    @classmethod
    def parse(cls, text: str) -> KekSource:
        """Parse `file:PATH`, `env:VARIABLE` or `credential:NAME`; a bare text is a path."""
        kind, colon, name = text.partition(":")
        if not colon:
            kind, name = "file", text
        if kind not in _KINDS or not name:
            raise ConfigError(
                f"key source {text!r} is none of file:PATH, env:VARIABLE, credential:NAME"
            )
        return cls(_KINDS[kind], name)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def load(
    source: KekSource, environ: Mapping[str, str] = os.environ, wrap: Wrap | None = None
) -> Kek:
    """Load the key; raises KeyUnavailable with the reason and the remedy."""
    match source.kind:
        case "file":
            octets = _private_file(Path(source.name))
        case "environment":
            octets = environ.get(source.name, "").encode()
            if not octets:
                raise KeyUnavailable(f"environment variable {source.name} is not set")
        case "credential":
            octets = _credential(source.name, environ)
    if len(octets) == SIZE:
        return Kek(octets)
    lines = [line.strip() for line in octets.splitlines()]
    keys = [_decode(one, source, wrap) for one in lines if one and not one.startswith(b"#")]
    if not 1 <= len(keys) <= MAXIMUM_KEYS:
        raise _unreadable(source)
    return Kek(keys[0], tuple(keys[1:]))


def replace_file(path: Path, kek: Kek, wrap: Wrap | None = None, said: str = "") -> None:
    """Write all keys in place of those that were there: wholly or not at all, and durably."""
    lines = [f"{wrap.name}:{wrap.wrap(one.key)}" if wrap else one.key.hex() for one in kek.each]
    text = "".join(f"{one}\n" for one in ([f"# {said}"] if said else []) + lines)
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)  # of a rotation that did not end
    owner = path.stat()
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    unfinished.rename(path)
    _sync_folder(path.parent)


def generate_file(path: Path) -> Kek:
    """Write a new random key as hex, readable by its owner only; never overwrites."""
    kek = Kek(secrets.token_bytes(SIZE))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists already; a new key would make everything sealed under it unreadable"
        ) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(kek.key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)
    return kek


def remark(path: Path) -> str:
    """What the first line of a key file says about it."""
    first = _private_file(path).split(b"\n", 1)[0]
    return first[1:].strip().decode("ascii", "replace") if first.startswith(b"#") else ""


def _sync_folder(folder: Path) -> None:
    """Make the new directory entry durable too: losing this file loses every key."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _private_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise KeyUnavailable(f"key file {path} is not a regular file")
            if mode & 0o077:
                raise KeyUnavailable(
                    f"key file {path} may be read by others (mode {stat.S_IMODE(mode):04o}): "
                    f"chmod 600 {path}"
                )
            return file.read(MAXIMUM_FILE + 1)
    except OSError as error:
        raise KeyUnavailable(f"key file {path} cannot be read: {error.strerror}") from error


def _credential(name: str, environ: Mapping[str, str]) -> bytes:
    """A systemd credential (LoadCredential=, SetCredentialEncrypted=); systemd guards its mode."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise KeyUnavailable(
            f"credential {name} needs CREDENTIALS_DIRECTORY, which systemd sets "
            f"for a unit with LoadCredential={name}:PATH"
        )
    if "/" in name or name in {".", ".."}:
        raise KeyUnavailable(f"credential name {name!r} is not a file name")
    try:
        with (Path(folder) / name).open("rb") as file:
            return file.read(MAXIMUM_FILE + 1)
    except OSError as error:
        raise KeyUnavailable(f"credential {name} cannot be read: {error.strerror}") from error


def _decode(text: bytes, source: KekSource, wrap: Wrap | None) -> bytes:
    name, colon, rest = text.decode("ascii", "replace").partition(":")
    if colon:
        if wrap is None or wrap.name != name:
            raise KeyUnavailable(f"{source} is wrapped by {name!r}: [vault.wrap] must say how")
        return wrap.unwrap(rest)
    try:
        if len(text) == SIZE * 2:
            return bytes.fromhex(name)
        standard = text.translate(_URL_SAFE).rstrip(b"=") + b"="
        if len(standard) == 44:
            return base64.b64decode(standard, validate=True)
    except ValueError:
        pass
    raise _unreadable(source)


def _unreadable(source: KekSource) -> KeyUnavailable:
    return KeyUnavailable(
        f"{source} does not hold {SIZE} octets as hex, base64 or raw: "
        "make one with `openssl rand -hex 32`"
    )


T = TypeVar("T")


class Watch(Generic[T]):
    """What hangs on a key, read again when its file was changed: looked at once a second at most.

    It is first read when it is first needed.
    """

    def __init__(
        self, source: KekSource, read: Callable[[], T], clock: Callable[[], float]
    ) -> None:
        self._path = Path(source.name) if source.kind == "file" else None
        self._read, self._clock = read, clock
        self._lock = threading.Lock()
        self._last: T | None = None
        self._seen: _Mark | None = None
        self._looked = 0.0

    def __call__(self) -> T:
        """As it is now; the last good one when what is there cannot be read."""
        last, now = self._last, self._clock()
        if last is not None and (self._path is None or now - self._looked < PAUSE):
            return last
        return self.fresh()

    def fresh(self) -> T:
        """The same without waiting for the second to pass; raises KeyUnavailable at first."""
        with self._lock:
            self._looked, mark = self._clock(), self._mark()
            if self._last is None:
                self._last, self._seen = self._read(), mark
            elif mark != self._seen:
                with suppress(KeyUnavailable):
                    self._last, self._seen = self._read(), mark
            return self._last

    def _mark(self) -> _Mark | None:
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns) if found else None
