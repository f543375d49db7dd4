"""Items and records as rows of the queue's tables, and back.

Times stand there as integer milliseconds since 1970, recipients and parameters as JSON.
What says where an item goes is bound to its sealed body (`bond`), so that nobody who can
write the table, but has no key, sends a mail elsewhere, or off undecided.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never, cast

from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content
from gatepost.mail.envelope import Body, Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.store import queue_database as database
from gatepost.store.queue_item import Done, Item, NewItem, Parked, Record, Retried, Settlement

Row = tuple[Any, ...]
Statement = tuple[str, tuple[object, ...]]


class Tampered(ValueError):
    """The row names somebody whom its body was not sealed for."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_WHOLE = "to"


def insert(item: Item, sealed: bytes | None) -> Statement:
    """Store an item; `sealed` is its body unless that stands in a file."""
    return database.INSERT_ITEM, (
        item.number,
        item.id,
        item.queue_id,
        item.hop,
        item.state,
        item.reason,
        milliseconds(item.created),
        milliseconds(item.due),
        item.tries,
        item.warned,
        item.protected,
        None if item.envelope.return_path is None else str(item.envelope.return_path),
        _recipients_text(item.envelope.recipients, item.last),
        _options_text(item),
        item.content.size,
        item.path,
        sealed,
    )


def insert_record(record: Record) -> Statement:
    """Store a record."""
    return database.INSERT_RECORD, (
        record.queue_id,
        milliseconds(record.at),
        record.name,
        record.data,
    )


def settle(settlement: Settlement) -> Statement:
    """Store what became of an item."""
    item = settlement.item
    match settlement:
        case Done():
            return database.DELETE_ITEM, (item.number,)
        case Retried():
            listed = _recipients_text(item.envelope.recipients, item.last)
            due = milliseconds(item.due)
            return database.UPDATE_ITEM, (listed, due, item.tries, item.warned, item.number)
        case Parked(_, state, reason):
            return database.PARK_ITEM, (state, reason, item.number)
        case _:
            assert_never(settlement)


def bond(id_: str, item: NewItem | Item) -> bytes:
    """What the body of an item that is being stored is bound to."""
    path = item.envelope.return_path
    return _bond(
        id_,
        item.queue_id,
        item.hop,
        item.protected,
        None if path is None else str(path),
        _options_text(item),
    )


def bond_of(row: Row) -> bytes:
    """What the body of a stored row must be bound to: nothing in schema 1; raises Tampered."""
    _, id_, queue_id, hop, *_ = row
    protected, path, listed, options = row[10:14]
    whole = _options(options).get(_WHOLE)
    if whole is None:
        return b""
    known = [tuple(one) for one in whole]
    if any((name, notify, orcpt) not in known for name, notify, orcpt, _ in _read(listed)):
        raise Tampered
    return _bond(id_, queue_id, hop, bool(protected), path, options)


def _bond(*parts: object) -> bytes:
    return b"item\0" + _compose(parts).encode()


def restored(row: Row, body: Callable[[Row], Content]) -> Item:
    """An item from a row of `database.COLUMNS`; `body` says how to read its content."""
    number, id_, queue_id, hop, state, reason, created, due, tries, warned, protected = row[:11]
    return_path, listed, options, _, path = row[11:]
    addressed, last = _recipients(listed)
    undecided = bool(_options(options).get("undecided"))
    return Item(
        number=number,
        id=id_,
        queue_id=queue_id,
        hop=hop,
        envelope=_envelope(return_path, options, addressed),
        content=body(row),
        created=moment(created),
        due=moment(due),
        last=last,
        protected=bool(protected),
        undecided=undecided,
        state=state,
        reason=reason,
        tries=tries,
        warned=bool(warned),
        path=path,
    )


def record(row: Row) -> Record:
    """A record from a row of SELECT_RECORDS."""
    queue_id, at, name, data = row
    return Record(queue_id, moment(at), name, data)


def size(row: Row) -> int:
    """How many octets the content of a row of `database.COLUMNS` has."""
    return int(row[14])


def milliseconds(when: datetime) -> int:
    """The moment as the database keeps it."""
    return (when - _EPOCH) // _MILLISECOND


def moment(stored: int) -> datetime:
    """Undo `milliseconds`; raises ValueError for one that no calendar has."""
    try:
        return _EPOCH + stored * _MILLISECOND
    except OverflowError as error:
        raise ValueError("a moment beyond the calendar") from error


def _recipients_text(recipients: Sequence[Recipient], last: Sequence[Reply | None]) -> str:
    return _compose(
        [
            [
                str(one.mailbox),
                one.notify,
                one.orcpt,
                [reply.code, reply.status, reply.text] if reply else None,
            ]
            for one, reply in zip(recipients, last, strict=True)
        ]
    )


def _recipients(text: str) -> tuple[tuple[Recipient, ...], tuple[Reply | None, ...]]:
    rows = cast(
        "list[tuple[str, str | None, str | None, tuple[int, str, str] | None]]", _read(text)
    )
    return (
        tuple(Recipient(_mailbox(name), notify, orcpt) for name, notify, orcpt, _ in rows),
        tuple(Reply(*reply) if reply else None for *_, reply in rows),
    )


def _options_text(item: NewItem | Item) -> str:
    """What never changes; recipients who are done with leave the row, but not this list."""
    envelope = item.envelope
    values = {
        _WHOLE: [(str(one.mailbox), one.notify, one.orcpt) for one in envelope.recipients],
        "undecided": item.undecided,
        "body": envelope.body,
        "smtputf8": envelope.smtputf8,
        "ret": envelope.ret,
        "envid": envelope.envid,
        "requiretls": envelope.requiretls,
        "secure": envelope.secure,
        "origin": envelope.origin,
    }
    return _compose({name: value for name, value in values.items() if value})


def _envelope(return_path: str | None, options: str, addressed: tuple[Recipient, ...]) -> Envelope:
    values = _options(options)
    return Envelope(
        None if return_path is None else _mailbox(return_path),
        addressed,
        cast("Body | None", values.get("body")),
        smtputf8=bool(values.get("smtputf8")),
        ret=values.get("ret"),
        envid=values.get("envid"),
        requiretls=bool(values.get("requiretls")),
        secure=bool(values.get("secure")),
        origin=tuple((name, value) for name, value in values.get("origin", ())),
    )


def _options(text: str) -> dict[str, Any]:
    found = _read(text)
    if not isinstance(found, dict):
        raise TypeError("options are named")
    return found


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _mailbox(text: str) -> Mailbox:
    # It was checked when it came in; reading the queue must not fail over it.
    if not isinstance(text, str):
        raise TypeError("an address is text")
    local, _, domain = text.rpartition("@")
    return Mailbox(local, domain)


_compose = json.JSONEncoder(separators=(",", ":")).encode
