"""What correspondents were last written to with, so that a suspicious change is noticed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from gatepost.mail.address import Mailbox
from gatepost.pki.change import Known
from gatepost.store.database import Database
from gatepost.store.filing import bump, clean, epoch
from gatepost.store.schema import known_key as table
from gatepost.store.upsert import insert

_KNOWN = select(table).where(table.c.address == bindparam("address"))


class KnownKeys:
    """Those of one directory."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, mailbox: Mailbox) -> Known | None:
        """What this address was last written to with."""
        return self._database.glance(lambda connection: _read(connection, mailbox.key))

    def remember(self, mailbox: Mailbox, known: Known, *, now: datetime) -> bool:
        """Remember another key; false when somebody else has just done so."""
        values = {
            "fingerprint": known.fingerprint,
            "issuer": clean(known.issuer),
            "bits": known.bits,
            "rivals": " ".join(sorted(known.rivals)),
            "at": epoch(now),
        }
        with self._database.writing() as connection:
            if _read(connection, mailbox.key) == known:
                return False
            row = insert(connection, table).values(address=mailbox.key, **values)
            connection.execute(row.on_conflict_do_update(index_elements=["address"], set_=values))
            bump(connection)
        return True


def _read(connection: Connection, address: str) -> Known | None:
    row = connection.execute(_KNOWN, {"address": address}).first()
    if row is None:
        return None
    return Known(row.fingerprint, row.issuer, row.bits, frozenset(row.rivals.split()))
