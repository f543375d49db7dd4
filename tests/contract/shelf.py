"""A directory by its place, and what other processes do with it; light to import for them."""

import os
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from gatepost.enrol.local import LocalAuthority
from gatepost.mail.address import Mailbox
from gatepost.store.database import Database
from gatepost.store.directory import Directory
from gatepost.store.postgres_directory import PostgresDatabase
from gatepost.store.sqlite_database import SqliteDatabase
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer

ALICE = Mailbox.parse("alice@example.com")
DOMAINS = frozenset({"example.com"})
Results = SimpleQueue[tuple[str, str]]


@dataclass(frozen=True)
class Shelf:
    """Where a test's directory stands; opened as often as there are nodes."""

    where: str

    @property
    def is_shared(self) -> bool:
        return self.where.startswith("host=")

    def database(self) -> Database:
        return PostgresDatabase(self.where) if self.is_shared else SqliteDatabase(Path(self.where))

    def open(self) -> Directory:
        return Directory(self.database())


def write_some(shelf: Shelf, number: int) -> None:
    """One worker's changes."""
    with shelf.open() as directory:
        for turn in range(5):
            directory.change_setting(f"{number}.{turn}", str(os.getpid()))


def vault_of(directory: Directory) -> Vault:
    """The vault every node has the key of."""
    return Vault(directory, Sealer(Kek(bytes(range(32))), "private keys"))


def ensure(shelf: Shelf, now: datetime, barrier: Barrier, results: Results) -> None:
    """One node's first mail from Alice."""
    with shelf.open() as directory:
        authority = LocalAuthority(directory, vault_of(directory), DOMAINS, "p256")
        barrier.wait(60)
        found = authority.ensure(ALICE, now)
        results.put((found.signer.certificate.fingerprint, found.encryption.fingerprint))
