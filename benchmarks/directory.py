"""A million certificates: `python -m benchmarks.directory [COUNT]`.

Wall-clock time of single look-ups that nothing is remembered of, in the order of a lottery,
on SQLite and on a throw-away PostgreSQL.  A look-up is what one recipient costs: the rows,
the certificates read from them and the authorities above.
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.load.crowd import Crowd, fill, mailbox
from tests.peers.postgres import running

from gatepost.certificate import Certificate
from gatepost.store.database import Database
from gatepost.store.directory import Directory
from gatepost.store.postgres_directory import PostgresDatabase
from gatepost.store.sqlite_database import SqliteDatabase

COUNT = 1_000_000
LOOK_UPS = 5_000


def main() -> None:
    """Both engines, one after the other."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    with tempfile.TemporaryDirectory(prefix="gatepost-bench-") as folder:
        place = Path(folder) / "directory.db"
        _measure("SQLite", SqliteDatabase(place), count)
        print(f"  the file has {place.stat().st_size / 2**20:.0f} MiB")
    with running() as server:
        _measure("PostgreSQL", PostgresDatabase(server.fresh().conninfo), count)


def _measure(engine: str, database: Database, count: int) -> None:
    directory = Directory(database)
    began = time.monotonic()
    crowd = fill(directory, database, count)
    print(f"{engine}: {count} certificates filed in {time.monotonic() - began:.0f} s", flush=True)
    directory = Directory(database)  # which remembers nothing
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lottery = random.Random(5)
    people = [mailbox(lottery.randrange(crowd.people)) for _ in range(LOOK_UPS)]
    _tell("by address", [lambda who=who: directory.candidates_for(who) for who in people])  # type: ignore[misc]  # bound now
    _tell(
        "by address, remembered", [lambda who=who: directory.candidates_for(who) for who in people]
    )  # type: ignore[misc]  # bound now
    _tell("by issuer and serial number", [_issued(directory, crowd, lottery) for _ in people])
    _tell(
        "somebody unknown",
        [
            lambda who=who: directory.candidates_for(who)
            for who in map(mailbox, range(2_000_000, 2_000_000 + LOOK_UPS))
        ],
    )  # type: ignore[misc]  # bound now
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"  resident memory + {grown:.0f} MiB for {3 * LOOK_UPS} answers", flush=True)
    directory.close()


def _issued(directory: Directory, crowd: Crowd, lottery: random.Random) -> Callable[[], object]:
    number = lottery.randrange(crowd.count)

    def ask() -> Certificate | None:
        found = directory.ledger.issued(crowd.issuer(number), crowd.serial(number))
        assert found is not None
        return found

    return ask


def _tell(what: str, asks: list[Callable[[], object]]) -> None:
    """Wall-clock time, and our processor time, which other programs' turns are no part of."""
    waited, worked = [], []
    for ask in asks:
        began, busy = time.perf_counter(), time.thread_time()
        ask()
        worked.append(time.thread_time() - busy)
        waited.append(time.perf_counter() - began)
    print(f"  {what}: {_spread(waited)}; of it processor time {_spread(worked)}", flush=True)


def _spread(seconds: list[float]) -> str:
    seconds.sort()
    half, most = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    return f"p50 {half * 1e6:.0f} µs, p99 {most * 1e6:.0f} µs"


if __name__ == "__main__":
    main()
