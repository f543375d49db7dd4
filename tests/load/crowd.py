"""A directory as large as one likes: certificates that differ in number, name and address.

One key and one signature serve for all, since nobody checks them here; correspondents are
spread over domains as in life, a few with many and many with few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from tests.unit.pki.forge import NOW, authority, forge

from gatepost.certificate import Certificate
from gatepost.mail.address import Mailbox
from gatepost.store.database import Database
from gatepost.store.directory import Directory
from gatepost.store.filing import epoch, name_id

AUTHORITIES = 40
DOMAINS = 20_000
BATCH = 5_000
_SERIAL = 0x5A5A_5A5A_5A5A_5A5A
_PERSON, _DOMAIN = "u9999999", "d99999"
_COLUMNS = [
    "fingerprint",
    "der",
    "name",
    "subject",
    "issuer",
    "subject_id",
    "authority",
    "not_before",
    "not_after",
    "added_at",
    "serial",
]
_USES = ["address", "fingerprint", "source", "first_seen", "last_seen"]
Row = tuple[Any, ...]


def mailbox(person: int) -> Mailbox:
    """The address of the nth person."""
    share = (person * 2_654_435_761 % 2**32) / 2**32
    return Mailbox.parse(f"u{person:07}@d{int(DOMAINS**share):05}.example")


def person(number: int) -> int:
    """Whose the nth certificate is: two of three people have one, the third has two."""
    return number * 3 // 4


@dataclass(frozen=True)
class Mould:
    """A certificate of one authority, to be filled in."""

    der: bytes
    issuer: Certificate
    begin: int
    end: int

    @classmethod
    def new(cls, issuer: Certificate, number: int) -> Mould:
        made = forge(
            _PERSON,
            issuer.name,
            serial=_SERIAL,
            emails=[f"{_PERSON}@{_DOMAIN}.example"],
            days=(-10 * number, 400 - 5 * number),
            key_name="everybody",
        )
        return cls(made.der, issuer, epoch(made.not_before), epoch(made.not_after))

    def cast(self, number: int) -> tuple[Row, Row]:
        """The rows of the nth certificate: itself, and its address."""
        address = str(mailbox(person(number)))
        name, _, host = address.partition("@")
        serial = _SERIAL + number
        der = (
            self.der.replace(_SERIAL.to_bytes(8, "big"), serial.to_bytes(8, "big"))
            .replace(_PERSON.encode(), name.encode())
            .replace(_DOMAIN.encode(), host.partition(".")[0].encode())
        )
        at = hashlib.sha256(der).hexdigest()
        subject = b"\x30\x13\x31\x11\x30\x0f\x06\x03\x55\x04\x03\x0c\x08" + name.encode()
        return (
            (
                at,
                der,
                name,
                f"CN={name}",
                f"CN={self.issuer.name}",
                name_id(subject),
                False,
                self.begin,
                self.end,
                epoch(NOW),
                f"{serial:x}",
            ),
            (address, at, "harvested", self.begin, self.begin + number % 86_400),
        )


@dataclass(frozen=True)
class Crowd:
    """The authorities, and how many certificates they issued."""

    issuers: tuple[Certificate, ...]
    count: int

    @property
    def people(self) -> int:
        return person(self.count - 1) + 1

    def issuer(self, number: int) -> Certificate:
        return self.issuers[number % len(self.issuers)]

    def serial(self, number: int) -> int:
        return _SERIAL + number


def fill(directory: Directory, database: Database, count: int) -> Crowd:
    """Authorities by the front door, everybody else in bulk."""
    root = authority("Root")
    issuers = tuple(authority(f"Authority {one:02}", "Root") for one in range(AUTHORITIES))
    directory.add_anchors([root, *issuers], now=NOW - timedelta(days=1))
    moulds = [Mould.new(issuer, number) for number, issuer in enumerate(issuers)]
    rows = (moulds[number % AUTHORITIES].cast(number) for number in range(count))
    for some in _batches(rows):
        with database.writing() as connection:
            _insert(connection, "certificate", _COLUMNS, [one for one, _ in some])
            _insert(connection, "certificate_address", _USES, [use for _, use in some])
    with database.writing() as connection:
        connection.exec_driver_sql("ANALYZE")
    return Crowd(issuers, count)


def _batches(rows: Iterator[tuple[Row, Row]]) -> Iterator[list[tuple[Row, Row]]]:
    some: list[tuple[Row, Row]] = []
    for one in rows:
        some.append(one)
        if len(some) == BATCH:
            yield some
            some = []
    if some:
        yield some


def _insert(connection: Connection, table: str, columns: list[str], rows: list[Row]) -> None:
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
