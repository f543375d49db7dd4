"""A private key leaves with four eyes: two administrators, each with a passphrase of his own.

The file is PKCS #12 (RFC 7292) under both passphrases, one after the other: any program opens
it, but only where both are given.  Each export is remembered in the directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gatepost.admin import credential
from gatepost.admin.access import administrator, opened
from gatepost.admin.certificate import Found, find_one, take_in_key
from gatepost.admin.credential import Credential, Passphrase
from gatepost.errors import ConfigError, Unavailable
from gatepost.store.register import Register
from gatepost.vault.archive import fit

EXPORTS: Final = "key.exports"  # the setting that remembers them, a line each
_REMEMBERED: Final = 1000
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Left:
    """A key that left."""

    name: str
    fingerprint: str
    said: str  # the line that is remembered
    octets: bytes

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {"name": self.name, "fingerprint": self.fingerprint, "remembered": self.said}


@dataclass(frozen=True, slots=True)
class Exports:
    """Every export that is remembered, oldest first."""

    lines: tuple[str, ...]

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {"exports": list(self.lines)}


def joined(first: Passphrase, second: Passphrase) -> bytes:
    """The passphrase of the file; raises ConfigError unless two people gave one each."""
    try:
        one, other = (fit(ask().decode()) for ask in (first, second))
    except UnicodeDecodeError:
        raise ConfigError("a passphrase is not UTF-8") from None
    if one == other:
        raise ConfigError("both passphrases are the same: two administrators give one each")
    return (one + other).encode()


def export(
    config: Path | None, which: str, first: Passphrase, second: Passphrase, now: datetime
) -> Left:
    """A private key with its certificate; it is remembered before anybody has the file."""
    with opened(config) as (_, stores):
        one = find_one(stores, which).certificate
        given = Credential(one, stores.directory.issuers_of(one), stores.vault.private_key_of(one))
        octets = credential.as_pkcs12(given, joined(first, second))
        said = f"{now:%Y-%m-%d %H:%M:%S}Z {one.name} {one.fingerprint} by {administrator()}"
        _remember(stores.directory.register, said)
        return Left(one.name, one.fingerprint, said, octets)


def take_back(
    config: Path | None, path: Path, first: Passphrase, second: Passphrase, now: datetime
) -> Found:
    """Import what `export` wrote."""
    given = credential.read(path, lambda: joined(first, second))
    return take_in_key(config, given, (), now)


def exports(config: Path | None) -> Exports:
    """Which keys have left, when, and by whom."""
    with opened(config) as (_, stores):
        return Exports(_lines(stores.directory.setting(EXPORTS)))


def _remember(register: Register, said: str) -> None:
    """Add a line; of two who export at the same time neither is forgotten."""
    for _ in range(_ATTEMPTS):
        known = register.read(EXPORTS)
        lines = (*_lines(known), said)[-_REMEMBERED:]
        if register.swap(EXPORTS, known, "\n".join(lines)):
            return
    raise Unavailable("exports are being remembered by others: try again")


def _lines(text: str | None) -> tuple[str, ...]:
    return tuple((text or "").splitlines())
