"""Looking up in a large directory costs the same as in a small one: every question has an index.

`make bench-pki` measures it with a million certificates; here the plans are looked at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event
from tests.load.crowd import Crowd, fill, mailbox
from tests.peers.postgres import Server
from tests.unit.pki.forge import NOW

from gatepost.mail.address import Mailbox
from gatepost.store.database import Database
from gatepost.store.directory import Directory
from gatepost.store.postgres_directory import PostgresDatabase
from gatepost.store.sqlite_database import SqliteDatabase

SOME = 10_000
LARGE = {"certificate", "certificate_address"}


@contextmanager
def plans(database: Database) -> Iterator[list[str]]:
    """What the engine does for each question asked meanwhile."""
    asked: list[tuple[str, Any]] = []
    found: list[str] = []

    def note(_c: Connection, _cursor: Any, statement: str, given: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, given))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    with database.reading() as connection:
        how = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        for statement, given in asked:
            rows = connection.exec_driver_sql(f"{how} {statement}", given).all()
            found += [str(row[-1]) for row in rows]


def scans(found: list[str]) -> list[str]:
    """Steps that read a large table from end to end, or sort what they read."""
    return [
        step
        for step in found
        if ("SCAN certificate" in step and "INDEX" not in step)
        or any(f"Seq Scan on {table}" in step for table in LARGE)
    ]


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def database(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Database]:
    made: Database
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("crowd")
        made = SqliteDatabase(folder / "directory.db")
    else:
        server: Server = request.getfixturevalue("server")
        made = PostgresDatabase(server.fresh().conninfo)
    yield made
    made.close()


@pytest.fixture(scope="module")
def crowd(database: Database) -> tuple[Directory, Crowd]:
    directory = Directory(database)
    return directory, fill(directory, database, SOME)


def test_every_look_up_has_an_index(database: Database, crowd: tuple[Directory, Crowd]) -> None:
    """With a million correspondents every mail would read the whole table."""
    directory, everybody = crowd
    asked = mailbox(777)
    with plans(database) as found:
        (candidate, *_) = directory.candidates_for(asked)
        assert candidate.issuers[0].subject == candidate.certificate.issuer
        assert directory.candidates_for(Mailbox.parse("nobody@nowhere.example")) == ()
        directory.signers_of(mailbox(778))
        directory.correspondent(asked)
        assert not directory.learn(candidate.certificate, asked, now=NOW.replace(year=2024))
        assert directory.enrolled(asked, "both") is None
        assert directory.keys_for(asked) == ()
        assert directory.key_of(candidate.certificate) is None
        issued = directory.ledger.issued(everybody.issuer(5), everybody.serial(5))
        assert issued is not None
        assert issued.serial == everybody.serial(5)
        assert directory.ledger.issued(everybody.issuer(5), 1) is None
        at = candidate.certificate.fingerprint
        assert directory.entry(at[:12]).certificate == candidate.certificate
        assert [one.certificate for one in directory.find(address=asked)]
        assert len(directory.find(authority=True)) == len(everybody.issuers) + 1
    assert len(found) >= 12
    assert not scans(found), "\n".join(found)


def test_what_stands_above_an_authority_is_asked_once(
    database: Database, crowd: tuple[Directory, Crowd]
) -> None:
    """Every new correspondent would cost a look-up for each authority above him."""
    everybody = crowd[1]
    directory = Directory(database)  # which remembers nothing yet
    with plans(database) as found:
        for number in range(200):
            (candidate, *_) = directory.candidates_for(mailbox(number))
            assert candidate.issuers[0].subject == candidate.certificate.issuer
    assert len([step for step in found if "subject_id" in step]) <= 4 * len(everybody.issuers)
