"""The evidence of one directory: records sealed at rest, each chained to the one before.

Records are added at the end.  Those older than they are to be kept are removed from their
places, which stay, so that the chain holds.  Lists and OCSP answers that records name are kept
once, as long as a record names them; time stamps stand beside, so that they may come later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Protocol

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from gatepost.store import schema, upsert
from gatepost.store.chain import BEGINNING, Link, linked
from gatepost.store.database import Database
from gatepost.store.exhibit import Stamp
from gatepost.store.filing import epoch

_E, _S, _P = schema.evidence, schema.evidence_stamp, schema.evidence_proof
MAXIMUM_RECORD = 64 * 1024 * 1024
BEGUN = 64  # octets of a box that say under which key
_BATCH = 500


class Seal(Protocol):
    """The vault's, for this purpose."""

    def seal(self, data: bytes, aad: bytes = b"") -> bytes:
        """Seal for a place."""
        ...

    def unseal(self, box: bytes, aad: bytes = b"") -> bytes:
        """Undo `seal`."""
        ...


class Reseal(Seal, Protocol):
    """The vault's, which knows earlier keys."""

    def is_current(self, box: bytes) -> bool:
        """Whether a box is sealed under the key that seals now."""
        ...


class Proof(Protocol):
    """A list or an answer."""

    @property
    def digest(self) -> str:
        """SHA-256 of its octets."""
        ...

    @property
    def der(self) -> bytes:
        """Its octets."""
        ...


class EvidenceStore:
    """Append-only for the gateway; only age removes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(
        self, record: bytes, seal: Seal, *, now: datetime, proofs: Iterable[Proof] = ()
    ) -> Link:
        """Chain a record to the last; the write transaction orders all nodes."""
        if len(record) > MAXIMUM_RECORD:
            raise ValueError("a record too large to be kept")
        with self._database.writing() as connection:
            last = connection.execute(
                select(_E.c.number, _E.c.digest).order_by(_E.c.number.desc()).limit(1)
            ).first()
            number, previous = (last.number + 1, last.digest) if last else (1, BEGINNING)
            made = linked(number, epoch(now), previous, record)
            connection.execute(
                insert(_E).values(
                    number=number,
                    at=made.at,
                    previous=previous,
                    digest=made.digest,
                    inside=made.inside,
                    sealed=seal.seal(record, _place(number)),
                )
            )
            for one in proofs:
                _name(connection, one, number)
        return made

    def read(
        self, seal: Seal, first: int = 1, last: int | None = None, limit: int | None = None
    ) -> Iterator[Link]:
        """Records in order, unsealed; raises SealBroken for one that was altered or moved."""
        number = first
        for _ in count() if limit is None else range(limit):
            wanted = _E.c.number >= number
            if last is not None:
                wanted = and_(wanted, _E.c.number <= last)
            query = select(_E).where(wanted).order_by(_E.c.number).limit(1)
            with self._database.reading() as connection:
                row = connection.execute(query).first()
            if row is None:
                return
            yield _link(row, seal)
            number = row.number + 1

    def last(self) -> Link | None:
        """The newest place, without its record."""
        query = select(_E).order_by(_E.c.number.desc()).limit(1)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return (
            Link(row.number, row.at, row.previous, row.digest, row.inside or "", None)
            if row
            else None
        )

    # The key it is sealed under

    def aged(self, seal: Reseal) -> tuple[int, ...]:
        """Records not sealed under the key that seals now."""
        beginning = func.substr(_E.c.sealed, 1, BEGUN)
        query = select(_E.c.number, beginning).where(_E.c.sealed != b"").order_by(_E.c.number)
        with self._database.reading() as connection:
            rows = connection.execute(query)
            return tuple(row[0] for row in rows if not seal.is_current(bytes(row[1])))

    def reseal(self, seal: Reseal) -> int:
        """Seal those again; it may be cut short and begun again.  Gives how many."""
        numbers = self.aged(seal)
        for number in numbers:
            with self._database.writing() as connection:
                row = _E.c.number == number
                box = connection.execute(select(_E.c.sealed).where(row)).scalar_one()
                if box:  # nobody removed it meanwhile
                    made = seal.seal(seal.unseal(box, _place(number)), _place(number))
                    connection.execute(update(_E).where(row).values(sealed=made))
        return len(numbers)

    # What stands beside the records

    def proofs(self, first: int = 1) -> Iterator[bytes]:
        """Lists and answers that records from this one on name."""
        query = select(_P.c.digest).where(_P.c.last >= first).order_by(_P.c.digest)
        with self._database.reading() as connection:
            names = connection.execute(query).scalars().all()
        for name in names:
            with self._database.reading() as connection:
                der = connection.execute(select(_P.c.der).where(_P.c.digest == name)).scalar()
            if der is not None:
                yield bytes(der)

    def stamp(self, number: int, token: bytes, now: datetime) -> None:
        """Keep a time stamp over a link's digest; the first one stays."""
        with self._database.writing() as connection:
            row = upsert.insert(connection, _S).values(number=number, at=epoch(now), token=token)
            connection.execute(row.on_conflict_do_nothing())

    def stamps(self, first: int = 1, last: int | None = None) -> tuple[Stamp, ...]:
        """Time stamps over these."""
        wanted = _S.c.number >= first
        if last is not None:
            wanted = and_(wanted, _S.c.number <= last)
        query = select(_S.c.number, _S.c.token).where(wanted).order_by(_S.c.number)
        with self._database.reading() as connection:
            return tuple(Stamp(*row) for row in connection.execute(query))

    def stamped(self) -> int:
        """The newest place that a time stamp covers; 0: none."""
        with self._database.reading() as connection:
            return int(connection.execute(select(func.max(_S.c.number))).scalar() or 0)

    # Age

    def drop(self, age: timedelta, seal: Seal, *, now: datetime) -> int:
        """Remove what is older from its places; gives how many records."""
        done = 0
        while found := self._drop(epoch(now - age), seal):
            done += found
        with self._database.writing() as connection:
            first = connection.execute(select(func.min(_E.c.number)).where(_E.c.sealed != b""))
            connection.execute(delete(_P).where(_P.c.last < (first.scalar() or 1 << 62)))
        return done

    def _drop(self, before: int, seal: Seal) -> int:
        old = and_(_E.c.at < before, _E.c.sealed != b"")
        query = select(_E.c.number, _E.c.inside).where(old).order_by(_E.c.number).limit(_BATCH)
        with self._database.writing() as connection:
            rows = connection.execute(query).all()
            for row in rows:
                inside = row.inside or _inside(connection, row.number, seal)
                place = update(_E).where(_E.c.number == row.number)
                connection.execute(place.values(sealed=b"", inside=inside))
        return len(rows)


def _name(connection: Connection, one: Proof, number: int) -> None:
    known = update(_P).where(_P.c.digest == one.digest).values(last=number)
    if not connection.execute(known).rowcount:
        connection.execute(insert(_P).values(digest=one.digest, der=one.der, last=number))


def _inside(connection: Connection, number: int, seal: Seal) -> str:
    """The digest of a record that a program of schema 0006 kept."""
    box = connection.execute(select(_E.c.sealed).where(_E.c.number == number)).scalar_one()
    return hashlib.sha256(seal.unseal(box, _place(number))).hexdigest()


def _link(row: Any, seal: Seal) -> Link:
    record = seal.unseal(row.sealed, _place(row.number)) if row.sealed else None
    inside = row.inside or hashlib.sha256(record or b"").hexdigest()
    return Link(row.number, row.at, row.previous, row.digest, inside, record)


def _place(number: int) -> bytes:
    return f"evidence {number}".encode()
