"""The policy's history: every state it had, who made it and why; nothing is ever overwritten."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from gatepost.errors import ConfigError
from gatepost.store.database import Database
from gatepost.store.filing import bump, epoch, moment
from gatepost.store.record import Revision
from gatepost.store.schema import policy_revision
from gatepost.store.upsert import insert


class Revisions:
    """The policy as TOML text, revision by revision."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self) -> Revision | None:
        """The policy in force; None before the first."""
        found = self.history(limit=1)
        return found[0] if found else None

    def get(self, rev: int) -> Revision:
        """One revision; raises ConfigError when there is none."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(policy_revision).where(policy_revision.c.rev == rev)
            ).one_or_none()
        if row is None:
            raise ConfigError(f"the policy has no revision {rev}")
        return _revive(row)

    def history(self, *, limit: int = 50, before: int | None = None) -> tuple[Revision, ...]:
        """Newest first."""
        query = select(policy_revision).order_by(policy_revision.c.rev.desc()).limit(limit)
        if before is not None:
            query = query.where(policy_revision.c.rev < before)
        with self._database.reading() as connection:
            return tuple(_revive(row) for row in connection.execute(query))

    def apply(
        self, toml: str, *, author: str, note: str, now: datetime, onto: int | None = None
    ) -> Revision:
        """Put a new policy in force; `onto` refuses when somebody else changed it meanwhile."""
        with self._database.writing() as connection:
            last = connection.execute(
                select(policy_revision.c.rev).order_by(policy_revision.c.rev.desc()).limit(1)
            ).scalar()
            if onto is not None and onto != (last or 0):
                raise ConfigError(
                    f"the policy changed meanwhile: this was made for revision {onto}, "
                    f"the current one is {last or 0}"
                )
            row = insert(connection, policy_revision).values(
                at=epoch(now), author=author, note=note, toml=toml
            )
            made = connection.execute(row.returning(policy_revision)).one()
            bump(connection)
            return _revive(made)

    def rollback(self, rev: int, *, author: str, now: datetime, note: str = "") -> Revision:
        """Put an old state in force again, as a new revision."""
        old = self.get(rev)
        note = note or f"back to revision {rev}"
        return self.apply(old.toml, author=author, note=note, now=now)


def _revive(row: Row[Any]) -> Revision:
    return Revision(row.rev, moment(row.at), row.author, row.note, row.toml)
