"""`gatepost queue`, `gatepost mailq` and `gatepost trace`: mail that waits, mail that went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gatepost.cli import option, show
from gatepost.cli.group import group

if TYPE_CHECKING:
    from datetime import datetime

    from gatepost.admin.queue import Items
    from gatepost.store.queue_item import Item, Record

app = group(help="Queue: list, show, retry, hold, quarantine, release, delete.")

Id = Annotated[str, typer.Argument(metavar="ID", help="Queue id, or one item's id.")]
_WHICH = "Queue id, one item's id, a domain or hop, or 'all'."
Ids = Annotated[str, typer.Argument(metavar="ID", help=_WHICH)]
Reason = Annotated[str, typer.Option(help="Why; recorded with your name.")]
_STYLES: dict[str, show.Style] = {
    "hold": "warn",
    "waiting": "warn",
    "quarantine": "warn",
    "corrupt": "bad",
}


@app.command("list")
def list_(
    state: Annotated[
        Literal["active", "hold", "waiting", "quarantine", "corrupt"] | None,
        typer.Option(help="Only these."),
    ] = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """List mail that waits, oldest first."""
    _list(state or "", config, json=json)


def mailq(config: option.Config = None, *, json: option.Json = False) -> None:
    """List mail that waits, in the form of Postfix's mailq."""
    from gatepost.admin import queue  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415
    from gatepost.cli import mailq as form  # noqa: PLC0415

    found = queue.every(config, utc_now())
    if json:
        show.as_json(found)
    else:
        for line in form.lines(found.items):
            show.say(line)


@app.command("show")
def show_(id_: Id, config: option.Config = None, *, json: option.Json = False) -> None:
    """Show one message: recipients, last replies, decisions."""
    from gatepost.admin import queue  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = queue.show(config, id_, utc_now())
    if json:
        show.as_json(found)
        return
    for item in found.items:
        _show_item(item, found.now)
    for record in found.records:
        _show_record(record)


@app.command()
def retry(id_: Ids, config: option.Config = None, *, json: option.Json = False) -> None:
    """Try delivery now."""
    _change("retry", id_, "", config, json=json)


@app.command()
def hold(
    id_: Ids,
    reason: Reason = "",
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Keep mail until it is released."""
    _change("hold", id_, reason, config, json=json)


@app.command()
def quarantine(
    id_: Id,
    reason: Reason = "",
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Keep mail that only a reason releases or deletes."""
    _change("quarantine", id_, reason, config, json=json)


@app.command()
def release(
    id_: Ids,
    reason: Reason = "",
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Let held or quarantined mail go on ('all' spares quarantine)."""
    _change("release", id_, reason, config, json=json)


@app.command()
def delete(
    id_: Ids,
    reason: Reason = "",
    config: option.Config = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    json: option.Json = False,
) -> None:
    """Delete mail for ever; nobody is told ('all' spares quarantine)."""
    option.consent(f"Delete {id_} for ever?", yes=yes, asked=not json)
    _change("delete", id_, reason, config, json=json)


def trace(id_: Id, config: option.Config = None, *, json: option.Json = False) -> None:
    """Tell what was decided about a message, and what became of it."""
    from gatepost.admin import queue  # noqa: PLC0415

    found = queue.trace(config, id_)
    if json:
        show.as_json(found)
        return
    for record in found.records:
        _show_record(record)
    for item in found.waiting:
        show.say(f"still waits: {item.id} ({item.state}) for {item.hop}", "warn")


def _list(state: str, config: Path | None, *, json: bool) -> None:
    from gatepost.admin import queue  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = queue.every(config, utc_now(), state)
    if json:
        show.as_json(found)
    elif not found.items:
        show.say("the queue is empty")
    else:
        _table(found)


def _table(found: Items) -> None:
    from gatepost.admin.queue import last_reply  # noqa: PLC0415

    rows = [
        (
            one.id,
            one.state,
            show.age((found.now - one.created).total_seconds()),
            show.size(one.content.size),
            one.envelope.return_path or "<>",
            _people(one),
            one.hop,
            str(one.reason or last_reply(one) or ""),
        )
        for one in found.items
    ]
    show.table(("ID", "STATE", "AGE", "SIZE", "FROM", "TO", "HOP", "WHY"), rows)


def _people(item: Item) -> str:
    first, *others = item.envelope.recipients or ("",)
    return f"{first} and {len(others)} more" if others else str(first)


def _show_item(item: Item, now: datetime) -> None:
    show.line(show.paint(f"{item.id}  {item.state}", _STYLES.get(item.state, "bold")))
    waiting = show.age((now - item.created).total_seconds())
    show.pairs(
        [
            ("reason", item.reason),
            ("from", item.envelope.return_path or "<>"),
            ("size", show.size(item.content.size)),
            ("arrived", f"{show.moment(item.created)}, {waiting} ago"),
            ("next try", f"{show.moment(item.due)}, {item.tries} so far"),
            ("hop", item.hop),
        ]
    )
    for recipient, reply in zip(item.envelope.recipients, item.last, strict=False):
        show.say(f"  {recipient}  {reply or 'not tried yet'}")


def _show_record(record: Record) -> None:
    from gatepost.admin.queue import decision, record_data  # noqa: PLC0415
    from gatepost.flow.explain import render  # noqa: PLC0415

    show.say(f"{record.at:%Y-%m-%d %H:%M:%S} UTC  {record.name}", "dim")
    found = decision(record)
    if found is not None:
        show.say(render(found))
        return
    data = record_data(record)["data"]
    if isinstance(data, dict):
        show.pairs([(f"   {name}", value) for name, value in data.items() if value])


_PAST = {
    "retry": "due now",
    "hold": "held",
    "quarantine": "quarantined",
    "release": "released",
    "delete": "deleted",
}


def _change(
    verb: Literal["retry", "hold", "quarantine", "release", "delete"],
    id_: str,
    reason: str,
    config: Path | None,
    *,
    json: bool,
) -> None:
    from gatepost.admin import queue  # noqa: PLC0415
    from gatepost.admin.access import administrator  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415
    from gatepost.store.queue_change import Cause  # noqa: PLC0415

    found = queue.change(config, verb, id_, Cause(reason, administrator()), utc_now())
    if json:
        show.as_json(found)
    else:
        for item in found.items:
            show.say(f"{item.id}  {_PAST[verb]}")
        if not found.items:
            show.note(f"nothing to {verb}")
    raise typer.Exit(0 if found.items else 1)
