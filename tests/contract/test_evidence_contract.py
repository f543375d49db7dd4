"""Evidence at rest, on each engine: sealed, in one order, and altered by nobody unseen."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy
from tests.contract.shelf import Shelf
from tests.unit.pki.forge import NOW

from gatepost.store.chain import BEGINNING, objection
from gatepost.store.database import Database, migrate
from gatepost.store.evidence import EvidenceStore
from gatepost.store.exhibit import Stamp
from gatepost.store.schema import evidence as table
from gatepost.vault.kek import Kek
from gatepost.vault.seal import SealBroken, Sealer

SEAL = Sealer(Kek(b"k" * 32), "evidence")


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Each engine in turn."""
    is_shared = request.param == "postgres"
    place = request.getfixturevalue("postgres").address if is_shared else str(tmp_path / "d.db")
    opened = Shelf(place).database()
    migrate(opened)
    yield opened
    opened.close()


def test_records_follow_each_other(database: Database) -> None:
    """Two nodes keep two records in one place, and the chain breaks by itself."""
    store = EvidenceStore(database)

    def keep(name: int) -> None:
        for number in range(5):
            store.keep(b"secret %d %d" % (name, number), SEAL, now=NOW)

    nodes = [threading.Thread(target=keep, args=(one,)) for one in range(3)]
    for one in nodes:
        one.start()
    for one in nodes:
        one.join()
    links = list(store.read(SEAL))
    assert [one.number for one in links] == list(range(1, 16))
    assert links[0].previous == BEGINNING
    assert objection(links) == ""
    with database.reading() as connection:
        sealed = connection.execute(sqlalchemy.select(table.c.sealed)).scalars().all()
    assert not [one for one in sealed if b"secret" in one]


def test_what_was_altered_in_the_database_is_found(database: Database) -> None:
    """Whoever writes to the database, but has not the key, changes what happened."""
    store = EvidenceStore(database)
    for number in range(4):
        store.keep(b"%d" % number, SEAL, now=NOW)
    with database.writing() as connection:  # another place for the same box
        box = connection.execute(
            sqlalchemy.select(table.c.sealed).where(table.c.number == 1)
        ).scalar_one()
        connection.execute(table.update().where(table.c.number == 2).values(sealed=box))
    with pytest.raises(SealBroken):
        list(store.read(SEAL))
    with database.writing() as connection:
        connection.execute(table.delete().where(table.c.number == 2))
    assert objection(store.read(SEAL)) == "record 3 does not follow record 1"


@dataclass
class Proof:
    """A list or an answer."""

    der: bytes

    @property
    def digest(self) -> str:
        """Its name."""
        return hashlib.sha256(self.der).hexdigest()


def test_old_records_go_and_the_chain_goes_on(database: Database) -> None:
    """The database grows for ever, or nothing after a removed record can be proven any more."""
    store = EvidenceStore(database)
    for day in range(4):
        lists = (Proof(b"for all"), Proof(b"of %d" % (day // 2)))
        store.keep(b"%d" % day, SEAL, now=NOW + timedelta(days=day), proofs=lists)
    assert set(store.proofs()) == {b"for all", b"of 0", b"of 1"}
    with database.writing() as connection:  # as a program of schema 0006 kept it
        connection.execute(table.update().where(table.c.number == 1).values(inside=None))
    whole = [one.digest for one in store.read(SEAL)]
    store.stamp(2, b"token", NOW)
    store.stamp(2, b"late", NOW)
    assert store.drop(timedelta(days=2), SEAL, now=NOW + timedelta(days=4)) == 2
    assert store.drop(timedelta(days=2), SEAL, now=NOW + timedelta(days=4)) == 0
    left = list(store.read(SEAL))
    assert [one.record for one in left] == [None, None, b"2", b"3"]
    assert [one.digest for one in left] == whole
    assert set(store.proofs()) == {b"for all", b"of 1"}
    assert store.stamps() == (Stamp(2, b"token"),)
    assert store.stamped() == 2
    assert store.drop(timedelta(0), SEAL, now=NOW + timedelta(days=9)) == 2
    assert list(store.proofs()) == []
    assert store.keep(b"new", SEAL, now=NOW + timedelta(days=10)).number == 5
    assert objection(store.read(SEAL)) == ""
    last = store.last()
    assert last is not None
    assert last.number == 5


def test_sealed_under_another_key(database: Database) -> None:
    """The earlier key is thrown away, and with it the evidence of years."""
    store = EvidenceStore(database)
    for number in range(3):
        store.keep(b"%d" % number, SEAL, now=NOW + timedelta(days=number))
    store.drop(timedelta(0), SEAL, now=NOW + timedelta(hours=1))
    both = Sealer(Kek(b"n" * 32, (b"k" * 32,)), "evidence")
    assert store.aged(both) == (2, 3)
    assert store.reseal(both) == 2
    assert store.aged(both) == ()
    only = Sealer(Kek(b"n" * 32), "evidence")
    assert [one.record for one in store.read(only)] == [None, b"1", b"2"]
    assert objection(store.read(only)) == ""
