"""Takes rows for a node, in the writing thread; what may be taken, in three pairs of statements."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.store import postgres_database as database
from gatepost.store import queue_row
from gatepost.store.postgres_database import Connection
from gatepost.store.postgres_writer import demand

DUE = (database.PROBE_DUE, database.LEASE_DUE)
LATE = (database.PROBE_LATE, database.LEASE_LATE)
WAITING = (database.PROBE_WAITING, database.LEASE_WAITING)


@dataclass(slots=True)
class Taking:
    """Leases rows, in the writing thread; looks first, because a lease is a write."""

    holder: int
    held: dict[int, int]
    sql: tuple[str, str]
    values: tuple[object, ...]
    limit: int
    taken: tuple[int, ...] = ()

    def __call__(self, connection: Connection) -> list[queue_row.Row]:
        """The rows taken."""
        probe, lease = self.sql
        # Held under a lease that has ended: not again before its task here has let go of it.
        hop, *rest = self.values
        values = (hop, list(self.held.copy()), *rest)
        if connection.execute(probe.encode(), values).fetchone() is None:
            return []
        demand(connection, self.holder)
        found: list[queue_row.Row] = connection.execute(
            lease.encode(), (self.holder, *values, self.limit)
        ).fetchall()
        self.taken = tuple(row[0] for row in found)
        self.held.update(dict.fromkeys(self.taken, self.holder))
        return found
