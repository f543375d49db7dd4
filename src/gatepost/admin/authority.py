"""The embedded CA: show its list, carry its root to a safe and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost.admin import credential
from gatepost.admin.access import opened
from gatepost.admin.credential import Credential, Passphrase
from gatepost.engine.service import Stores
from gatepost.enrol.local import LocalAuthority
from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.vault.keys import check_pair

SHORTEST = 12  # octets of a passphrase that protects a root


@dataclass(frozen=True, slots=True)
class List:
    """A revocation list of ours."""

    authority: str
    number: int
    this_update: datetime
    next_update: datetime
    octets: bytes

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry; the octets go to a file."""
        return {
            "authority": self.authority,
            "number": self.number,
            "this_update": self.this_update.isoformat(),
            "next_update": self.next_update.isoformat(),
            "size": len(self.octets),
        }


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What was done with the root."""

    root: str
    fingerprint: str
    issuing: str
    list_until: datetime
    left: bool  # the root's key is not in the vault

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "root": self.root,
            "fingerprint": self.fingerprint,
            "issuing": self.issuing,
            "list_until": self.list_until.isoformat(),
            "root_key_in_vault": not self.left,
        }


def revocations(config: Path | None, now: datetime, *, root: bool = False) -> List:
    """The list of the issuing CA, or of the root; signed anew when it is due."""
    with opened(config) as (_, stores):
        authority = _authority(stores)
        one = authority.root if root else authority.issuing
        found = authority.revocations(one, now)
        if found is None:
            raise KeyUnavailable(f"{one.name} has no list, and its key is not here")
        return List(one.name, found.number, found.this_update, found.next_update, found.der)


def export_root(
    config: Path | None, path: Path, passphrases: Sequence[Passphrase], now: datetime
) -> Ceremony:
    """Seal the root's key in a file, read it back, and only then forget it here.

    Two people's passphrases stand with a space between them, so that any OpenSSL opens it.
    """
    if path.exists():
        raise ConfigError(f"{path} exists; a root's file is never overwritten")
    with opened(config) as (_, stores):
        authority = _authority(stores)
        root = authority.root
        key = stores.vault.private_key_of(root)
        given = [one() for one in passphrases]
        secret = b" ".join(given)
        if any(len(one) < SHORTEST for one in given):
            raise ConfigError(f"a root wants a passphrase of {SHORTEST} octets at least")
        authority.renew_root_list(now)
        _write(path, credential.as_pem(Credential(root, (), key), secret))
        again = credential.read(path, lambda: secret)
        check_pair(again.key, root)
        stores.directory.forget_key(root)
        return _ceremony(authority, now)


def import_root(
    config: Path | None,
    path: Path,
    passphrases: Sequence[Passphrase],
    now: datetime,
    *,
    issuing: bool,
    keep: bool,
) -> Ceremony:
    """Use a root from its file: sign its list, perhaps a new issuing CA; then forget it again."""
    with opened(config) as (_, stores):
        authority = _authority(stores)
        root = authority.root
        given = credential.read(path, lambda: b" ".join(one() for one in passphrases))
        check_pair(given.key, root)
        stores.vault.add(given.key, root, "authority", addresses=(), source="issued", now=now)
        try:
            if issuing:
                authority.renew_issuing(now)
            authority.renew_root_list(now)
        finally:
            if not keep:
                stores.directory.forget_key(root)
        return _ceremony(authority, now)


def _ceremony(authority: LocalAuthority, now: datetime) -> Ceremony:
    listed = authority.revocations(authority.root, now)
    return Ceremony(
        authority.root.name,
        authority.root.fingerprint,
        authority.issuing.name,
        listed.next_update if listed else now,
        authority.directory.key_of(authority.root) is None,
    )


def _write(path: Path, octets: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _authority(stores: Stores) -> LocalAuthority:
    if stores.authority is None:
        raise ConfigError("there is no certification authority here", hint="gatepost init")
    return stores.authority
