"""The embedded CA: take certificates back, show its list, carry its root to a safe and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gatepost.admin import credential
from gatepost.admin.access import opened
from gatepost.admin.certificate import Found, find_one
from gatepost.admin.credential import Credential, Passphrase
from gatepost.certificate import Certificate
from gatepost.engine.service import Stores
from gatepost.enrol.local import LocalAuthority
from gatepost.enrol.status import FLAGS
from gatepost.errors import ConfigError, KeyUnavailable, Refused
from gatepost.mail.address import Mailbox
from gatepost.store.record import Entry
from gatepost.vault.keys import check_pair

REASONS = tuple(sorted(set(FLAGS) - {"removeFromCRL"}))
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


def revoke(config: Path | None, which: str, reason: str, now: datetime, *, new: bool) -> Found:
    """Take a certificate of ours back at once; its key stays, to decrypt with.

    One from outside is only used no more: its authority has to be told by somebody.
    """
    if reason not in REASONS:
        raise ConfigError(f"{reason!r} is no reason", hint=f"one of {', '.join(REASONS)}")
    with opened(config) as (_, stores):
        entry = find_one(stores, which)
        authority = stores.authority
        if authority is None or not authority.has_issued(entry.certificate):
            return _taken_back(stores, entry, reason, now, new=new)
        if not authority.revoke(entry.certificate, reason, now):
            raise Refused(f"{entry.certificate.name} was revoked before")
        remarks = () if authority.pointers.url else (_UNHEARD,)
        if not new:
            return Found((entry,), remarks)
        issued = [
            authority.issue(Mailbox.parse(use.address), kind, now)
            for use in entry.uses
            for kind in ("sign", "encrypt")
            if entry.key_purpose in {kind, "both"} and not use.address.startswith("@")
        ]
        made = (stores.directory.entry(one.fingerprint) for one in issued)
        return Found((entry, *made), remarks)


def _taken_back(stores: Stores, entry: Entry, reason: str, now: datetime, *, new: bool) -> Found:
    """Stop using one that another authority issued; only that authority can tell the world."""
    one = entry.certificate
    if entry.key_purpose is None:
        raise Refused(
            f"{one.name!r} was not issued by this authority, and its key is not here: "
            f"gatepost cert deny {one.fingerprint[:16]} stops its use"
        )
    above = _above(stores, one)
    if not stores.directory.ledger.revoke(one, above, reason, now):
        raise Refused(f"{one.name} was revoked before")
    issuer = one.x509.issuer.rfc4514_string()
    what = f"have {issuer} revoke the serial number {one.serial:x}"
    told = [f"its key only decrypts from now on; nobody else knows: {what}"]
    if new:
        addresses = " and ".join(use.address for use in entry.uses)
        told.append(f"its successor is asked for by: gatepost cert request {addresses}")
    return Found((entry,), tuple(told))


def _above(stores: Stores, one: Certificate) -> Certificate:
    """Under whose name the ledger has it: its issuer, or itself where that is unknown."""
    return next(iter(stores.directory.issuers_of(one)), one)


_UNHEARD = "nobody is told: certificates name no place to ask until [public] url is set"


def release(config: Path | None, which: str, now: datetime) -> Found:
    """End the suspension of a certificate that was revoked with certificateHold."""
    with opened(config) as (_, stores):
        entry = find_one(stores, which)
        one, authority = entry.certificate, stores.authority
        if authority is not None and authority.has_issued(one):
            done = authority.release(one, now)
        else:
            done = stores.directory.ledger.release(one, _above(stores, one))
        if not done:
            raise Refused(f"{entry.certificate.name} is not suspended")
        return Found((entry,))


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
