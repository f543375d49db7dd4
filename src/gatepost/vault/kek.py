"""The key-encryption key: where it comes from and how it is kept out of sight.

32 octets in a file of its owner alone, an environment variable or a systemd credential;
written as hex, base64 or raw.  Everything sealed on disk hangs on it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gatepost.errors import ConfigError, KeyUnavailable

SIZE = 32
MAXIMUM_FILE = 4096
Kind = Literal["file", "environment", "credential"]
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

    def __post_init__(self) -> None:
        if len(self.key) != SIZE:
            raise KeyUnavailable(
                f"a key-encryption key has {SIZE} octets, this one has {len(self.key)}"
            )

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


def load(source: KekSource, environ: Mapping[str, str] = os.environ) -> Kek:
    """Load the key; raises KeyUnavailable with the reason and the remedy."""
    match source.kind:
        case "file":
            return Kek(_decode(_private_file(Path(source.name)), source))
        case "environment":
            text = environ.get(source.name)
            if not text:
                raise KeyUnavailable(f"environment variable {source.name} is not set")
            return Kek(_decode(text.encode(), source))
        case "credential":
            return Kek(_decode(_credential(source.name, environ), source))


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


def _decode(octets: bytes, source: KekSource) -> bytes:
    if len(octets) == SIZE:
        return octets
    text = octets.strip()
    try:
        if len(text) == SIZE * 2:
            return bytes.fromhex(text.decode("ascii"))
        standard = text.translate(_URL_SAFE).rstrip(b"=") + b"="
        if len(standard) == 44:
            return base64.b64decode(standard, validate=True)
    except ValueError:
        pass
    raise KeyUnavailable(
        f"{source} does not hold {SIZE} octets as hex, base64 or raw: "
        "make one with `openssl rand -hex 32`"
    )
