"""The queue in the form of Postfix's mailq, which administrators and their scripts read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gatepost.store.queue_item import Item

HEADING = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
INDENT = 47  # where recipients stand, as with Postfix's long queue ids
WIDTH = 76  # reasons end here


def lines(items: Sequence[Item]) -> Iterator[str]:
    """Heading, one block for each item, total; or that there is nothing."""
    if not items:
        yield "Mail queue is empty"
        return
    yield HEADING
    for item in items:
        yield from _block(item)
        yield ""
    kilobytes = (sum(one.content.size for one in items) + 1023) // 1024
    requests = "Request" if len(items) == 1 else "Requests"
    yield f"-- {kilobytes} Kbytes in {len(items)} {requests}."


def _block(item: Item) -> Iterator[str]:
    name = item.id if item.state == "active" else f"{item.id}!"
    moment = item.created.astimezone()
    arrived = f"{moment:%a %b} {moment.day:2d} {moment:%H:%M:%S}"
    sender = item.envelope.return_path or "MAILER-DAEMON"
    yield f"{name:<17} {item.content.size:8d} {arrived} {sender}"
    if item.state != "active":
        yield _reason(f"{item.state}: {item.reason}" if item.reason else item.state)
    said = ""
    for recipient, reply in zip(item.envelope.recipients, item.last, strict=False):
        if reply is not None and str(reply) != said:
            said = str(reply)
            yield _reason(" ".join(said.split()))
        yield " " * INDENT + str(recipient)


def _reason(text: str) -> str:
    return " " * max(WIDTH - len(text), 0) + f"({text})"
