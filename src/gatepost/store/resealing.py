"""Every private key's box, to be sealed anew under another key-encryption key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import and_, select, update

from gatepost.store import schema
from gatepost.store.database import Database
from gatepost.store.filing import bump

_K = schema.private_key
BATCH = 200  # boxes of one transaction


@dataclass(frozen=True, slots=True)
class Box:
    """A sealed key."""

    fingerprint: str
    key_id: str
    sealed: bytes


class Boxes:
    """All boxes of a directory's database; used while the gateway runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[Box, ...]:
        """Every one."""
        query = select(_K.c.fingerprint, _K.c.key_id, _K.c.sealed).order_by(_K.c.fingerprint)
        with self._database.reading() as connection:
            return tuple(Box(*row) for row in connection.execute(query))

    def replace(self, boxes: tuple[Box, ...], seal: Callable[[Box], bytes]) -> int:
        """Seal each again; what somebody changed meanwhile stays as it is.  Returns how many."""
        done = 0
        for at in range(0, len(boxes), BATCH):
            made = [(one, seal(one)) for one in boxes[at : at + BATCH]]
            with self._database.writing() as connection:
                for one, sealed in made:
                    same = and_(_K.c.fingerprint == one.fingerprint, _K.c.sealed == one.sealed)
                    done += connection.execute(
                        update(_K).where(same).values(sealed=sealed)
                    ).rowcount
                bump(connection)
        return done
