"""The gateway between the session and the queue: what it does beside deciding."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.engine.desk import Desk

from gatepost.engine import gateway
from gatepost.engine.gateway import Gateway, Parts
from gatepost.engine.journal import Journal
from gatepost.errors import Unavailable
from gatepost.events import Event, Name
from gatepost.flow.harvest import Learned
from gatepost.flow.verdict import Continue, Outcome
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.net.application import SessionInfo
from gatepost.smime.correspondent import Lesson

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BOB = Mailbox.parse("bob@partner.example")


class Locked:
    """A directory in which nothing can be written."""

    def note(self, *_: object, **__: object) -> bool:
        """Fail."""
        raise Unavailable("database is locked")


def message(header: bytes = b"From: bob@partner.example\r\n", recipients: int = 1) -> Message:
    """A small message."""
    to = tuple(Recipient(Mailbox.parse(f"a{n}@example.com")) for n in range(recipients))
    arrival = Arrival("1A", NOW)
    return Message(Direction.INBOUND, Envelope(None, to), arrival, header, Octets(b"hello"))


async def test_what_cannot_be_learned_does_not_stop_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a shutdown the queue would stay open, and delivered mail be delivered again."""
    journal, events = Journal(lambda: NOW), list[Event]()
    journal.observe(events.append)
    names = dict.fromkeys(Parts.__dataclass_fields__)
    parts = Parts(**cast("Any", {**names, "directory": Locked(), "journal": journal}))
    lesson = Learned(BOB, (cast("Any", object()),), (), Lesson(BOB, NOW))
    tested = Gateway(parts)
    tested._learn((Outcome(message().noting(lesson), Continue()),), NOW)
    await tested.settle()
    assert [one.name for one in events] == [Name.SERVICE_ERROR]


@pytest.mark.parametrize(
    ("header", "recipients", "expected"),
    [(b"From: a@b.example\r\n", 1, False), (b"X: y\r\n" * 10_000, 1, True), (b"", 500, True)],
)
def test_long_work_leaves_the_loop(header: bytes, recipients: int, *, expected: bool) -> None:
    """A header of a megabyte would keep everybody else waiting for a second."""
    assert gateway._is_long(message(header, recipients)) is expected


async def test_a_full_disk_is_told_before_the_mail_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 5321 section 4.2.2: peers send 100 MiB to hear that there is no room, again and again."""
    desk = Desk(tmp_path)
    monkeypatch.setattr(desk.queue, "has_room", lambda: False)
    path = Mailbox.parse("alice@xyz.example")
    session = SessionInfo("both", "127.0.0.1", 4711)
    assert str(desk.gateway.sender(session, Envelope(path, ()))).startswith("452 4.3.1")
    monkeypatch.undo()
    assert desk.gateway.sender(session, Envelope(path, ())).code == 250
    await desk.close()
