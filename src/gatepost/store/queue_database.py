"""The queue's SQLite file: schema by version, connection settings, every statement by name.

WAL with synchronous=FULL: a commit returns when it is on disk.  Nobody checkpoints in
passing (`wal_autocheckpoint=0`), because that would be some message's 50 ms.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from gatepost.errors import ConfigError

BUSY = 10.0  # seconds to wait for another process's write
_WAL_KEPT = 64 * 1024 * 1024

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """CREATE TABLE item (
            number      INTEGER PRIMARY KEY,
            id          TEXT NOT NULL UNIQUE,
            queue_id    TEXT NOT NULL,
            hop         TEXT NOT NULL,
            state       TEXT NOT NULL,
            reason      TEXT NOT NULL,
            created     INTEGER NOT NULL,
            due         INTEGER NOT NULL,
            tries       INTEGER NOT NULL,
            warned      INTEGER NOT NULL,
            protected   INTEGER NOT NULL,
            return_path TEXT,
            recipients  TEXT NOT NULL,
            options     TEXT NOT NULL,
            size        INTEGER NOT NULL,
            path        TEXT,
            body        BLOB
        ) STRICT""",
        "CREATE INDEX item_due ON item (state, hop, due, number)",
        """CREATE TABLE record (
            number   INTEGER PRIMARY KEY,
            queue_id TEXT NOT NULL,
            at       INTEGER NOT NULL,
            name     TEXT NOT NULL,
            data     TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX record_queue_id ON record (queue_id)",
        "CREATE INDEX record_at ON record (at)",
        # Raised by whoever asks, from another process, that waiting mail be tried at once.
        "CREATE TABLE nudge (count INTEGER NOT NULL) STRICT",
        "INSERT INTO nudge VALUES (0)",
    ),
    # Bodies sealed from here on are bound to their envelope; programs of schema 1 cannot open them.
    ("CREATE INDEX item_waiting ON item (due, number) WHERE state = 'waiting'",),
)

COLUMNS = (
    "number, id, queue_id, hop, state, reason, created, due, tries, warned, protected,"
    " return_path, recipients, options, size, path"
)
INSERT_ITEM = f"INSERT INTO item ({COLUMNS}, body) VALUES ({', '.join('?' * 17)})"  # noqa: S608 - constants only
INSERT_RECORD = "INSERT INTO record (queue_id, at, name, data) VALUES (?, ?, ?, ?)"
# What somebody decided meanwhile in another process (hold, delete) stands: state is not touched.
UPDATE_ITEM = "UPDATE item SET recipients = ?, due = ?, tries = ?, warned = ? WHERE number = ?"
PARK_ITEM = "UPDATE item SET state = ?, reason = ? WHERE number = ?"
DELETE_ITEM = "DELETE FROM item WHERE number = ?"
PRUNE_RECORDS = (
    "DELETE FROM record WHERE number IN (SELECT number FROM record WHERE at < ? LIMIT ?)"
)

SELECT_DUE = (
    f"SELECT {COLUMNS} FROM item WHERE state = 'active' AND hop = ? AND due <= ?"  # noqa: S608 - constants only
    " ORDER BY due, number LIMIT ?"
)
SELECT_LATE = (
    f"SELECT {COLUMNS} FROM item WHERE state = 'active' AND hop = ?"  # noqa: S608 - constants only
    " AND (created <= ? OR created <= ? AND warned = 0) LIMIT ?"
)
SELECT_WAITING = (
    f"SELECT {COLUMNS} FROM item WHERE state = 'waiting' AND due <= ? ORDER BY due, number LIMIT ?"  # noqa: S608 - constants only
)
SELECT_ALL = f"SELECT {COLUMNS} FROM item ORDER BY number"  # noqa: S608 - constants only
SELECT_NAMED = f"SELECT {COLUMNS} FROM item WHERE queue_id = ? OR id = ? ORDER BY number"  # noqa: S608 - constants only
SELECT_BODY = "SELECT body FROM item WHERE number = ?"
SELECT_PATHS = (
    "SELECT number, queue_id, path FROM item WHERE path IS NOT NULL AND state != 'corrupt'"
)
SELECT_PATHS_KEPT = "SELECT path FROM item WHERE path IS NOT NULL"
SELECT_HOPS = "SELECT DISTINCT hop FROM item WHERE state = 'active'"
# From one hop to the next in the index: what ten thousand items of a hop cost, one costs.
SELECT_HOPS_DUE = """
    WITH RECURSIVE one (hop) AS (
        SELECT min(hop) FROM item WHERE state = 'active'
        UNION ALL
        SELECT (SELECT min(hop) FROM item WHERE state = 'active' AND hop > one.hop)
        FROM one WHERE one.hop IS NOT NULL
    )
    SELECT hop FROM one WHERE EXISTS (
        SELECT 1 FROM item WHERE state = 'active' AND item.hop = one.hop AND due <= ?
    )"""
SELECT_STATE = "SELECT state FROM item WHERE number = ?"
SELECT_LAST_NUMBER = "SELECT coalesce(max(number), 0) FROM item"
SELECT_NUDGE = "SELECT count FROM nudge"
SELECT_OLD_RECORDS = "SELECT count(*) FROM record WHERE at < ?"
SELECT_COUNTS = "SELECT state, hop, count(*) FROM item GROUP BY state, hop"
SELECT_RECORDS = "SELECT queue_id, at, name, data FROM record WHERE queue_id = ? ORDER BY number"
NUDGE = "UPDATE nudge SET count = count + 1"
MOVE = "UPDATE item SET state = ?, reason = ?, due = ? WHERE number = ? AND state = ?"
MAKE_DUE = "UPDATE item SET due = ? WHERE number = ? AND state IN ('active', 'waiting')"


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, creating it for our eyes only; transactions are begun by hand."""
    if not path.exists():  # never open a live file beside SQLite: closing it would drop its locks
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date; raises ConfigError for a file from a newer Gatepost."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[_version(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"the queue database has schema {version}, this Gatepost knows {len(MIGRATIONS)}; "
            "run the newer version, or let it drain the queue first"
        )
    return int(version)
