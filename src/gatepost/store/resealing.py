"""Every private key's box, to be sealed anew under another key-encryption key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select, update

from gatepost.store import schema
from gatepost.store.database import Database
from gatepost.store.filing import bump

_K, _R = schema.private_key, schema.certificate_request
BATCH = 200  # boxes of one transaction


@dataclass(frozen=True, slots=True)
class Box:
    """A sealed key."""

    fingerprint: str  # of its certificate; empty: it has none yet, see `store.request`
    key_id: str
    sealed: bytes


class Boxes:
    """All boxes of a directory's database; used while the gateway runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Box, ...]:
        """Every one."""
        query = select(_K.c.fingerprint, _K.c.key_id, _K.c.sealed).order_by(_K.c.fingerprint)
        asked = select(_R.c.key_id, _R.c.sealed).order_by(_R.c.key_id)
        with self._database.reading() as connection:
            found = tuple(Box(*row) for row in connection.execute(query))
            return (*found, *(Box("", *row) for row in connection.execute(asked)))

    def replace(self, boxes: tuple[Box, ...], seal: Callable[[Box], bytes]) -> int:
        """Seal each again; what somebody changed meanwhile stays as it is.  Returns how many."""
        done = 0
        for at in range(0, len(boxes), BATCH):
            made = [(one, seal(one)) for one in boxes[at : at + BATCH]]
            with self._database.writing() as connection:
                for one, sealed in made:
                    change = update(_K if one.fingerprint else _R).where(_same(one))
                    done += connection.execute(change.values(sealed=sealed)).rowcount
                bump(connection)
        return done


def _same(one: Box) -> ColumnElement[bool]:
    if one.fingerprint:
        return and_(_K.c.fingerprint == one.fingerprint, _K.c.sealed == one.sealed)
    return and_(_R.c.key_id == one.key_id, _R.c.sealed == one.sealed)
