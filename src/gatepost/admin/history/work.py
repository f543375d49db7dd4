"""Take in what was exported elsewhere: every key for old mail, the newest to sign with.

Each file by itself: what cannot be read changes nothing and is told in a sentence.  A key and
its certificate may stand in two files, so keys without certificate wait for the last file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from gatepost.admin.access import opened
from gatepost.admin.certificate import purpose_of
from gatepost.admin.history.credentials import Content, Passwords
from gatepost.admin.history.shelf import File, files
from gatepost.certificate import Certificate
from gatepost.engine.service import Stores
from gatepost.errors import ConfigError, GatepostError
from gatepost.mail.address import Mailbox
from gatepost.pki.usable import usable_for
from gatepost.vault.custody import public_octets

MAXIMUM_PASSWORDS: Final = 10_000
MAXIMUM_LIST: Final = 4 << 20  # octets of a list of passwords
MAXIMUM_SAID: Final = 20  # of one file
MAXIMUM_LOOSE: Final = 100_000  # certificates remembered for keys that come later


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one file."""

    file: str
    sentence: str
    good: bool
    taken: tuple[Certificate, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "file": self.file,
            "told": self.sentence,
            "good": self.good,
            "taken": [one.fingerprint for one in self.taken],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What became of all of them."""

    files: tuple[Told, ...]
    current: tuple[Certificate, ...]  # of those taken: which sign from now on

    @property
    def taken(self) -> int:
        """How many keys are here now that were not."""
        return sum(len(one.taken) for one in self.files)

    @property
    def failed(self) -> int:
        """How many files changed nothing and should have."""
        return sum(not one.good for one in self.files)

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "files": [one.as_data() for one in self.files],
            "taken": self.taken,
            "failed": self.failed,
            "current": [one.fingerprint for one in self.current],
        }


def passwords_in(path: Path | None) -> Passwords:
    """A password in each line; raises ConfigError."""
    if path is None:
        return Passwords([])
    with path.open("rb") as file:
        octets = file.read(MAXIMUM_LIST + 1)
    try:
        lines = octets.decode().splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
    found = list(dict.fromkeys(one for one in lines if one))
    if len(octets) > MAXIMUM_LIST or len(found) > MAXIMUM_PASSWORDS:
        raise ConfigError(f"{path} holds more than {MAXIMUM_PASSWORDS} passwords")
    return Passwords(found)


def take_in(config: Path | None, place: Path, passwords: Passwords, now: datetime) -> Report:
    """Take in every key of a file, a folder or a zip archive."""
    with opened(config) as (_, stores):
        work = _Work(stores, now)
        for file in files(place):
            work.look(file, passwords)
        return work.report()


@dataclass(slots=True)
class _Work:
    """What was found so far."""

    stores: Stores
    now: datetime
    told: dict[str, list[Told]] = field(default_factory=dict)
    loose: dict[bytes, list[Certificate]] = field(default_factory=dict)
    waiting: list[tuple[str, PrivateKeyTypes]] = field(default_factory=list)
    taken: dict[Certificate, None] = field(default_factory=dict)

    def look(self, file: File, passwords: Passwords) -> None:
        """One file."""
        self.told[file.name] = []
        if file.fault:
            self._tell(file.name, file.fault, good=False)
            return
        try:
            found = passwords.opened(file.octets)
        except GatepostError as error:
            self._tell(file.name, str(error), good=False)
            return
        self._note(found.certificates)
        if found.keys:
            self._file(file.name, found)
        else:
            self._tell(file.name, "certificates, and no key")

    def report(self) -> Report:
        """Pair what is left over, and say what signs from now on."""
        for name, key in self.waiting:
            own = tuple(self.loose.get(_name_of(key), ()))
            if own:
                self._file(name, Content((key,), own))
            else:
                self._tell(name, "no certificate was found for its key", good=False)
        return Report(tuple(map(self._united, self.told)), tuple(self._current()))

    def _note(self, certificates: Iterable[Certificate]) -> None:
        for one in certificates:
            if one.public_key is not None and len(self.loose) < MAXIMUM_LOOSE:
                self.loose.setdefault(public_octets(one.public_key), []).append(one)

    def _file(self, name: str, found: Content) -> None:
        issuers = [one for one in found.certificates if one.is_authority]
        for key in found.keys:
            own = dict.fromkeys(one for one in found.certificates if _belongs(one, key))
            if not own:
                self.waiting.append((name, key))
            for one in own:
                try:
                    self._take(name, key, one, issuers)
                except GatepostError as error:
                    self._tell(name, str(error), good=False)

    def _take(
        self, name: str, key: PrivateKeyTypes, one: Certificate, issuers: Sequence[Certificate]
    ) -> None:
        """File a key; raises ConfigError when it is nobody's."""
        if one.is_authority:
            raise ConfigError(f"{one.name} is a CA: its key opens nobody's mail")
        if not one.emails:
            raise ConfigError(f"{one.name} names no address: import it alone, with --for ADDRESS")
        who = ", ".join(one.emails[:3])
        if self.stores.directory.key_of(one) is not None:
            self._tell(name, f"{who}: here already")
            return
        for issuer in issuers:
            self.stores.directory.add_certificate(issuer, (), now=self.now)
        self.stores.vault.add(key, one, purpose_of(one), addresses=one.emails, now=self.now)
        self.taken[one] = None
        self._tell(name, f"{who}: {self._state(one)}", taken=one)

    def _state(self, one: Certificate) -> str:
        if one.not_after < self.now:
            return f"expired on {one.not_after:%Y-%m-%d}, for old mail"
        if wrong := usable_for(one, "sign", self.now):
            return f"until {one.not_after:%Y-%m-%d}, not to sign with: {wrong[0]}"
        return f"until {one.not_after:%Y-%m-%d}"

    def _current(self) -> Iterable[Certificate]:
        addresses = dict.fromkeys(email for one in self.taken for email in one.emails)
        for address in addresses:
            try:
                signer = self.stores.vault.signer_for(Mailbox.parse(address), self.now)
            except GatepostError:
                continue
            if signer is not None and signer.certificate in self.taken:
                yield signer.certificate

    def _tell(
        self, name: str, sentence: str, *, good: bool = True, taken: Certificate | None = None
    ) -> None:
        self.told[name].append(Told(name, sentence, good, (taken,) if taken else ()))

    def _united(self, name: str) -> Told:
        """One sentence for a file; thousands of keys are not all named."""
        told = self.told[name]
        said = list(dict.fromkeys(one.sentence for one in told))
        more = f"; and {len(said) - MAXIMUM_SAID} more" if len(said) > MAXIMUM_SAID else ""
        return Told(
            name,
            "; ".join(said[:MAXIMUM_SAID]) + more,
            all(one.good for one in told),
            tuple(each for one in told for each in one.taken),
        )


def _name_of(key: PrivateKeyTypes) -> bytes:
    return public_octets(key.public_key())


def _belongs(one: Certificate, key: PrivateKeyTypes) -> bool:
    return one.public_key is not None and public_octets(one.public_key) == _name_of(key)
