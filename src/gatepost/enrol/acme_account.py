"""Our accounts at authorities that speak ACME: a key each, sealed in the vault like every other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from gatepost.enrol.announcer import carrier
from gatepost.errors import KeyUnavailable, Unavailable
from gatepost.store.directory import Directory
from gatepost.store.record import StoredKey
from gatepost.vault.keys import Vault

_BEGINNING: Final = "acme.account."
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Account:
    """A key, and the account it opens; without a URL the account is still to be made."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    url: str
    known: str  # the text it was read from


@dataclass(frozen=True, slots=True)
class Accounts:
    """Those of one directory, by the source's name."""

    directory: Directory
    vault: Vault

    def of(self, name: str, service: str, now: datetime) -> Account:
        """The account at a service, its key made now if there is none."""
        for _ in range(_ATTEMPTS):
            known = self.directory.register.read(_BEGINNING + name)
            data = json.loads(known) if known else {}
            if known and data["service"] == service:
                return Account(self._key(data["key"]), data["url"], known)
            made = json.dumps({"service": service, "key": self._made(name, now), "url": ""})
            self.directory.register.swap(_BEGINNING + name, known, made)
        raise Unavailable(f"the account of {name} is being changed by others")

    def is_known(self, name: str, service: str) -> bool:
        """Whether there is one at a service; none is made."""
        known = self.directory.register.read(_BEGINNING + name)
        data = json.loads(known) if known else {}
        return bool(data) and data["service"] == service and bool(data["url"])

    def confirm(self, name: str, account: Account, url: str) -> None:
        """Remember where the account is."""
        told = json.dumps({**json.loads(account.known), "url": url})
        self.directory.register.swap(_BEGINNING + name, account.known, told)

    def forget(self, name: str) -> None:
        """Make the account anew the next time, with the same key."""
        known = self.directory.register.read(_BEGINNING + name)
        if known:
            told = json.dumps({**json.loads(known), "url": ""})
            self.directory.register.swap(_BEGINNING + name, known, told)

    def _made(self, name: str, now: datetime) -> str:
        title = f"ACME account {name}"
        key = self.vault.make("p256", "authority", title)
        holder = carrier(key, title, now)
        key_id, sealed = self.vault.seal(key)
        stored = StoredKey(holder, key_id, "authority", sealed)
        self.directory.add_key(stored, source="issued", now=now)
        return holder.fingerprint

    def _key(self, fingerprint: str) -> ec.EllipticCurvePrivateKey:
        found = self.vault.private_key_of(self.directory.entry(fingerprint).certificate)
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise KeyUnavailable("the account's key is of an unexpected kind")
        return found
