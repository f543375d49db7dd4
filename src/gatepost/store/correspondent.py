"""Correspondents' ways of writing, learned from their signatures: only ever newer ones.

A mail that is older by its signed time than what is known changes nothing, however often
somebody sends it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, bindparam, select

from gatepost.smime.correspondent import NAMES, Correspondent, Lesson
from gatepost.store.filing import FRESH, epoch, moment
from gatepost.store.schema import correspondent as table
from gatepost.store.schema import correspondent_use as uses
from gatepost.store.upsert import insert

# How exactly the newest signing time is kept; every mail would be a write otherwise.
EXACT = int(timedelta(minutes=10).total_seconds())
UNDATED = 0  # older than everything that says when it was signed

_SAID = select(table).where(table.c.address == bindparam("address"))
_USED = select(uses).where(uses.c.address == bindparam("address"))


def read(connection: Connection, address: str) -> Correspondent:
    """What is known of this address."""
    row = connection.execute(_SAID, {"address": address}).first()
    if row is None:
        return Correspondent()
    used = connection.execute(_USED, {"address": address}).all()
    return _revived(row, used)


def find(connection: Connection, domain: str, limit: int) -> dict[str, Correspondent]:
    """Everybody known in a domain, by address."""
    rows = connection.execute(
        select(table)
        .where(table.c.address.endswith(f"@{domain}", autoescape=True))
        .order_by(table.c.address)
        .limit(limit)
    ).all()
    return {row.address: read(connection, row.address) for row in rows}


def is_known(known: Correspondent, lesson: Lesson, now: datetime) -> bool:
    """Whether a lesson teaches nothing worth a write."""
    if known.seen_at is None or epoch(now) - epoch(known.seen_at) > FRESH.total_seconds():
        return False
    when = _signed(lesson, now)
    news = [_date(known.used.get(name)) if name in known.used else None for name in lesson.used]
    if lesson.announced:
        same = known.announced == lesson.announced
        news.append(_date(known.announced_at) if same or when < _date(known.announced_at) else None)
    return all(date is not None and when - date < EXACT for date in news)


def file(connection: Connection, lesson: Lesson, now: datetime) -> bool:
    """Keep what is newer than what is known; true when an answer changes."""
    address, when = lesson.mailbox.key, _signed(lesson, now)
    known = read(connection, address)
    newer = bool(lesson.announced) and (not known.announced or when >= _date(known.announced_at))
    announced = lesson.announced if newer else known.announced
    announced_at = when if newer else _date(known.announced_at)
    _put(connection, address, announced, announced_at, now)
    fresh = [one for one in lesson.used if _date(known.used.get(one), UNDATED - 1) < when]
    for name in sorted(fresh):
        row = insert(connection, uses).values(address=address, name=name, signed_at=when)
        connection.execute(
            row.on_conflict_do_update(
                index_elements=["address", "name"], set_={"signed_at": row.excluded.signed_at}
            )
        )
    return announced != known.announced or not lesson.used <= known.used.keys()


def _put(
    connection: Connection, address: str, announced: Iterable[str], when: int, now: datetime
) -> None:
    values = {
        "announced": " ".join(sorted(announced)),
        "announced_at": when,
        "seen_at": epoch(now),
    }
    row = insert(connection, table).values(address=address, **values)
    connection.execute(row.on_conflict_do_update(index_elements=["address"], set_=values))


def _signed(lesson: Lesson, now: datetime) -> int:
    """When it was signed; a clock ahead of ours does not make later mail look old."""
    return UNDATED if lesson.signed_at is None else min(epoch(lesson.signed_at), epoch(now))


def _date(when: datetime | None, otherwise: int = UNDATED) -> int:
    return otherwise if when is None else epoch(when)


def _revived(
    row: Row[tuple[str, str, int, int]], used: Iterable[Row[tuple[str, str, int]]]
) -> Correspondent:
    return Correspondent(
        announced=frozenset(row.announced.split()) & NAMES,
        announced_at=moment(row.announced_at) if row.announced_at else None,
        used={
            one.name: moment(one.signed_at) if one.signed_at else None
            for one in used
            if one.name in NAMES
        },
        seen_at=moment(row.seen_at),
    )
