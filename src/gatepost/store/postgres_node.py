"""One node's lease of the queue, and the taking over of nodes whose lease has ended.

A node lives while its row stands.  It renews the row from a thread and a connection of its
own; others delete the row once it is past its time (by the database's clock) and free what
it held.  Whoever finds its own row gone registers anew and drops what it held.  That all
of it happens within the lease is reckoned in docs/nodes.md.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

import psycopg
import structlog

from gatepost.events import Name
from gatepost.store import postgres_database as database
from gatepost.store.postgres_clock import now
from gatepost.store.postgres_database import Connect, Connection

_TICK = 1.0  # seconds between looks for what others wrote
_HASTE = 0.1  # seconds between looks for a node that is late
_SKEW = 60.0  # seconds; leases keep the database's time, but retries each node's own
# Of the lease, which is promised from a node's death to the taking over of its mail:
_LIFE: Final = 0.75  # how long a renewal holds, by the database's clock
_SURE: Final = 0.7  # how long its node relies on it, by its own
_RENEWAL: Final = 1 / 6  # between renewals, so that some may fail

_log = structlog.get_logger("gatepost.store")


class Node:
    """This worker's membership."""

    def __init__(
        self,
        address: str,
        connect: Connect,
        name: str,
        lease: float,
        *,
        changed: Callable[[], None],
        tended: Callable[[], None],
    ) -> None:
        self._address = address
        self._connect = connect
        self._name = name
        self._life, self._sure, self._renewal = lease * _LIFE, lease * _SURE, lease * _RENEWAL
        self._changed = changed
        self._tended = tended  # called after each look that found the database
        self._connection: Connection | None = connect(address)
        # What an earlier start of ours left in the middle of a commit, on a machine that is gone.
        self._connection.execute(database.EXPEL_NAMED, (database.session_name(name),))
        self._until = now() + self._sure  # reckoned from before the row is written
        self.id = _register(self._connection, name, self._life)
        self._nudges = _nudges(self._connection)
        self._renew_at = self._bury_from = 0.0
        self._pause = 0.0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"node {name}", daemon=True)

    def start(self) -> None:
        """Renew from now on."""
        self._thread.start()

    @property
    def is_sure(self) -> bool:
        """Whether nobody can have taken over what this node holds."""
        return now() < self._until

    def doubt(self, *, has_ended: bool) -> None:
        """Look at once whether the lease still stands."""
        if has_ended:
            self._until = 0.0
        self._renew_at = 0.0
        self._wake.set()

    def close(self) -> None:
        """Give everything up, so that the others need not wait."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        try:
            connection = self._opened()
            with connection.transaction():
                _free(connection, connection.execute(database.FORGET, (self.id,)).fetchall())
                connection.execute(database.NUDGE)  # the others may not know all our hops
        except psycopg.Error as error:
            _report(error)
        self._drop()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._look(self._opened())
                self._tended()
            except Exception as error:  # noqa: BLE001 - without this thread the node dies
                if self._connection is not None:  # an outage is told once, not every second
                    _report(error)
                self._drop()
                self._pause = min(_TICK, self._renewal)
            self._wake.wait(self._pause)
            self._wake.clear()

    def _look(self, connection: Connection) -> None:
        found = now() >= self._renew_at and self._renew(connection)
        nudges, stands, left = _asked(connection, self.id)
        if not stands:  # somebody thinks we are dead
            found |= self._renew(connection)
        if left <= 0 and now() >= self._bury_from:
            found |= self._bury(connection)
        self._pause = min(_TICK, self._renewal, max(_HASTE, left))
        if nudges != self._nudges or found:
            self._nudges = nudges
            self._changed()

    def _renew(self, connection: Connection) -> bool:
        """Whether the lease was lost."""
        begun = now()  # before the row is written: others count from later on
        self._renew_at = begun + self._renewal
        if connection.execute(database.RENEW, (self._life, self.id)).rowcount:
            self._until = begun + self._sure
            return False
        self._until = 0.0
        _log.error(
            Name.SERVICE_ERROR,
            service="store.postgres",
            reason="this node's lease of the queue ended; others may have its mail",
        )
        self.id = _register(connection, self._name, self._life)
        self._until = begun + self._sure
        return True

    def _bury(self, connection: Connection) -> bool:
        """Free what dead nodes held; two statements, the second sees all they committed.

        Returns whether there were any: their hops may be new to this node.
        """
        with connection.transaction():
            dead = connection.execute(database.BURY).fetchall()
            freed = _free(connection, dead)
        if dead:
            reason = f"{len(dead)} silent too long: the {freed} mails it had are free for others"
            _log.warning(Name.SERVICE_ERROR, service="store.postgres", reason=reason)
        connection.execute(database.EXPEL, (self._name,))  # then it can be buried, a moment later
        return bool(dead)

    def _opened(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect(self._address)
            self._renew_at = 0.0
            # A database that was away was so for all: let the others renew, too.
            self._bury_from = now() + self._renewal
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _register(connection: Connection, name: str, life: float) -> int:
    """A fresh start; what an earlier one of the same name held is free (its lock file was)."""
    with connection.transaction():
        _free(connection, connection.execute(database.FORGET_NAME, (name,)).fetchall())
        row = connection.execute(database.REGISTER, (name, life)).fetchone()
    assert row is not None
    number, told = (int(str(value)) for value in row)
    ahead = time.time() - told / 1000
    if abs(ahead) > _SKEW:
        reason = f"this machine's clock is {ahead:+.0f} s off the database's"
        _log.warning(Name.SERVICE_ERROR, service="store.postgres", reason=reason)
    return number


def _asked(connection: Connection, id_: int) -> tuple[int, bool, float]:
    """How often somebody nudged, whether our row stands, and when the next of the others ends."""
    row = connection.execute(database.LOOK, (id_, id_)).fetchone()
    assert row is not None
    nudges, stands, left = row
    return int(str(nudges)), bool(stands), math.inf if left is None else float(str(left))


def _free(connection: Connection, nodes: list[tuple[object, ...]]) -> int:
    """How many mails nobody has now."""
    if not nodes:
        return 0
    return connection.execute(database.ORPHANED, ([row[0] for row in nodes],)).rowcount


def _nudges(connection: Connection) -> int:
    row = connection.execute(database.SELECT_NUDGE).fetchone()
    return int(str(row[0])) if row else 0


def _report(error: Exception) -> None:
    _log.error(Name.SERVICE_ERROR, service="store.postgres", reason=f"node: {error}")
