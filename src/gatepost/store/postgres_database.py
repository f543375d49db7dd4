"""The queue's PostgreSQL side: connections, and every statement by name.

Leases are measured by the database's clock alone; due times are the writing node's, as
retry pauses are minutes and nodes keep time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict

Connection = psycopg.Connection[tuple[object, ...]]
Connect = Callable[[str], Connection]

_COLUMNS: Final = (
    "number, id, queue_id, hop, state, reason, created, due, tries, warned, protected,"
    " return_path, recipients, options, size, path"
)
_ROW: Final = f"{_COLUMNS}, chunked"
# Said only where the address in the configuration does not say otherwise.
_DEFAULTS: Final[dict[str, str | int]] = {
    "application_name": "gatepost",
    "connect_timeout": 5,
    "keepalives_idle": 10,  # a cut cable is noticed within half a minute
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "target_session_attrs": "read-write",  # of several hosts the one that takes writes
}
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

INSERT_ITEM: Final = (
    f"INSERT INTO item ({_COLUMNS}, body, chunked, holder)"  # noqa: S608 - constants only
    f" VALUES ({', '.join(['%s'] * 19)})"
)
INSERT_CHUNK: Final = "INSERT INTO chunk (number, nth, data) VALUES (%s, %s, %s)"
INSERT_RECORD: Final = "INSERT INTO record (queue_id, at, name, data) VALUES (%s, %s, %s, %s)"

# A node settles what it holds.  Whose lease has ended changes nothing: another has the item.
DONE: Final = "DELETE FROM item WHERE number = %s AND holder = %s"
RETRIED: Final = (
    "UPDATE item SET recipients = %s, due = %s, tries = %s, warned = %s, holder = NULL"
    " WHERE number = %s AND holder = %s"
)
PARKED: Final = (
    "UPDATE item SET state = %s, reason = %s, holder = NULL WHERE number = %s AND holder = %s"
)
RELEASED: Final = "UPDATE item SET holder = NULL WHERE number = ANY(%s) AND holder = %s"
DELETED: Final = "DELETE FROM item WHERE number = ANY(%s) AND holder = %s"

# What is free, in the words of the index item_due.
_FREE: Final = "state = 'active' AND holder IS NULL AND hop = %s AND number <> ALL(%s)"
_DUE: Final = f"{_FREE} AND due <= %s"
_WAITING: Final = (
    "state = 'waiting' AND holder IS NULL AND hop <> %s AND number <> ALL(%s) AND due <= %s"
)
_LATE: Final = f"{_FREE} AND (created <= %s OR created <= %s AND NOT warned)"
PROBE_DUE: Final = f"SELECT 1 FROM item WHERE {_DUE} LIMIT 1"  # noqa: S608 - constants only
PROBE_LATE: Final = f"SELECT 1 FROM item WHERE {_LATE} LIMIT 1"  # noqa: S608 - constants only
PROBE_WAITING: Final = f"SELECT 1 FROM item WHERE {_WAITING} LIMIT 1"  # noqa: S608 - constants only
_TAKE: Final = "UPDATE item SET holder = %s WHERE number = ANY(ARRAY(SELECT number FROM item WHERE"
LEASE_DUE: Final = (
    f"{_TAKE} {_DUE} ORDER BY due, number LIMIT %s FOR UPDATE SKIP LOCKED)) RETURNING {_ROW}"
)
LEASE_WAITING: Final = (
    f"{_TAKE} {_WAITING} ORDER BY due, number LIMIT %s FOR UPDATE SKIP LOCKED)) RETURNING {_ROW}"
)
LEASE_LATE: Final = f"{_TAKE} {_LATE} LIMIT %s FOR UPDATE SKIP LOCKED)) RETURNING {_ROW}"

SELECT_ALL: Final = f"SELECT {_ROW} FROM item ORDER BY created, number"  # noqa: S608 - constants only
SELECT_NAMED: Final = (
    f"SELECT {_ROW} FROM item WHERE queue_id = %s OR id = %s ORDER BY created, number"  # noqa: S608 - constants only
)
SELECT_BODY: Final = "SELECT body FROM item WHERE number = %s"
SELECT_CHUNK: Final = "SELECT data FROM chunk WHERE number = %s AND nth = %s"
SELECT_OURS: Final = "SELECT number, holder FROM item WHERE number = ANY(%s) AND state = 'active'"
SELECT_HELD: Final = "SELECT number FROM item WHERE holder = %s"
# Before a settlement that must stand: whether somebody else holds what it settles.
SELECT_OTHERS: Final = "SELECT 1 FROM item WHERE number = ANY(%s) AND holder IS DISTINCT FROM %s"
SELECT_HOPS: Final = "SELECT DISTINCT hop FROM item WHERE state = 'active'"
# From one hop to the next in the index item_due, however many items each has.
SELECT_HOPS_DUE: Final = """
    WITH RECURSIVE one AS (
        (SELECT hop FROM item WHERE state = 'active' AND holder IS NULL ORDER BY hop LIMIT 1)
        UNION ALL
        SELECT (SELECT hop FROM item WHERE state = 'active' AND holder IS NULL
                AND hop > one.hop ORDER BY hop LIMIT 1)
        FROM one WHERE one.hop IS NOT NULL
    )
    SELECT hop FROM one WHERE EXISTS (
        SELECT 1 FROM item
        WHERE state = 'active' AND holder IS NULL AND item.hop = one.hop AND due <= %s
    )"""
SELECT_COUNTS: Final = "SELECT state, hop, count(*) FROM item GROUP BY state, hop"
SELECT_NUDGE: Final = "SELECT count FROM nudge"
SELECT_RECORDS: Final = (
    "SELECT queue_id, at, name, data FROM record WHERE queue_id = %s ORDER BY at, number"
)
PRUNE_RECORDS: Final = (
    "DELETE FROM record WHERE number IN"
    " (SELECT number FROM record WHERE at < %s LIMIT %s FOR UPDATE SKIP LOCKED)"
)

# The guard: while it is locked, nobody can declare this node dead (see postgres_node).
GUARD: Final = "SELECT id FROM node WHERE id = ANY(%s) FOR KEY SHARE"
REGISTER: Final = (
    "INSERT INTO node (name, until)"  # noqa: S608 - constants only
    " VALUES (%s, clock_timestamp() + make_interval(secs => %s))"
    f" RETURNING id, {_NOW}"
)
FORGET_NAME: Final = "DELETE FROM node WHERE name = %s RETURNING id"
FORGET: Final = "DELETE FROM node WHERE id = %s RETURNING id"
# Asked every second: what others wrote, whether this node's row stands, when another's ends.
LOOK: Final = (
    "SELECT (SELECT count FROM nudge), EXISTS (SELECT 1 FROM node WHERE id = %s),"
    " (SELECT extract(epoch FROM min(until)) - extract(epoch FROM clock_timestamp())"
    " FROM node WHERE id <> %s)"
)
RENEW: Final = "UPDATE node SET until = clock_timestamp() + make_interval(secs => %s) WHERE id = %s"
BURY: Final = (
    "DELETE FROM node WHERE id IN (SELECT id FROM node WHERE until < clock_timestamp()"
    " FOR UPDATE SKIP LOCKED) RETURNING id"
)
# Sessions in which a node commits bear its name: one that stands still in the middle of a
# commit keeps its own row locked, and nobody could bury it.
CALLED: Final = "SELECT set_config('application_name', %s, false)"
_EXPELLED: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
EXPEL: Final = (
    f"{_EXPELLED} JOIN node ON application_name = 'gatepost ' || name"
    " WHERE until < clock_timestamp() AND name <> %s"
)
EXPEL_NAMED: Final = f"{_EXPELLED} WHERE application_name = %s"
# What was under way is due, whatever the clock of the node that had it said.
ORPHANED: Final = f"UPDATE item SET holder = NULL, due = least(due, {_NOW}) WHERE holder = ANY(%s)"  # noqa: S608 - constants only

NUDGE: Final = "UPDATE nudge SET count = count + 1"
MOVE: Final = (
    f"UPDATE item SET state = %s, reason = %s, due = least(%s, {_NOW})"  # noqa: S608 - constants only
    " WHERE number = %s AND state = %s"
)
MAKE_DUE: Final = (
    f"UPDATE item SET due = least(%s, {_NOW})"  # noqa: S608 - constants only
    " WHERE number = %s AND state IN ('active', 'waiting')"
)
DELETE_ITEM: Final = "DELETE FROM item WHERE number = %s"


def connect(address: str) -> Connection:
    """Open a connection that commits durably; transactions are begun by hand."""
    given = conninfo_to_dict(address)
    left = {name: value for name, value in _DEFAULTS.items() if name not in given}
    return prepared(psycopg.connect(address, autocommit=True, **left))  # type: ignore[arg-type]  # any libpq keyword


def prepared(connection: Connection) -> Connection:
    """Settings of every session of ours."""
    try:
        if shown(connection, "synchronous_commit") == "off":  # stricter choices stay
            connection.execute("SET synchronous_commit = on")
        # A node that was cut off must not keep its locks: in the middle of a pipeline the server
        # waits for the rest, which only the loss of the connection ends.
        connection.execute(
            "SET idle_in_transaction_session_timeout = '30s'; SET tcp_keepalives_idle = 10;"
            "SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
            "SET tcp_user_timeout = 15000"
        )
    except psycopg.Error:
        connection.close()
        raise
    return connection


def shown(connection: Connection, name: LiteralString) -> str:
    """A setting of this session."""
    row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
    return str(row[0]) if row else ""


def called(connect: Connect, name: str) -> Connect:
    """Sessions that bear a node's name."""

    def connected(address: str) -> Connection:
        connection = connect(address)
        try:
            connection.execute(CALLED, (session_name(name),))
        except psycopg.Error:
            connection.close()
            raise
        return connection

    return connected


def session_name(node: str) -> str:
    """What a node's sessions are called (at most 63 octets)."""
    return f"gatepost {node}"
