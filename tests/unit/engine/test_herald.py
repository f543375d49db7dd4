"""Letters to the postmaster: each thing once, grave ones at once, the rest once a day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.store.box import Clock

from gatepost.engine.bounce import Bouncer
from gatepost.engine.herald import DAY, PAUSE, Herald, notice
from gatepost.engine.journal import Journal
from gatepost.events import Event, Name
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.store.directory import Directory
from gatepost.store.notice import Notice

PLACE = {"place": "http://crl.example/1", "reason": "nobody there"}
ENDING = {"subject": "Alice", "fingerprint": "ab" * 32, "until": "2026-07-01"}


class Office:
    """A directory, a clock, and what was written."""

    def __init__(self, folder: Path) -> None:
        self.directory = Directory(folder / "directory.db")
        self.clock = Clock()
        self.journal = Journal(self.clock)
        self.letters: list[tuple[str, ...]] = []
        self.is_full = False
        self.heralds = [self.herald(), self.herald()]  # two workers
        self.journal.observe(self.hear)

    def hear(self, event: Event) -> None:
        """As the first worker does."""
        self.heralds[0].observe(event)

    def herald(self) -> Herald:
        """One worker's."""
        return Herald(self.directory.notices, self.directory.turns, self.post, self.clock)

    async def post(self, told: tuple[Notice, ...], _: object) -> bool:
        """Into the queue, if there is room."""
        if self.is_full:
            return False
        self.letters.append(tuple(one.text for one in told))
        return True

    async def look(self) -> list[tuple[str, ...]]:
        """What the workers write now."""
        self.letters.clear()
        for one in self.heralds:
            await one.look()
        return list(self.letters)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A postmaster's."""
    made = Office(tmp_path)
    yield made
    made.directory.close()


async def test_one_letter_a_day(office: Office) -> None:
    """The postmaster gets a letter for each certificate and stops reading them."""
    office.journal.note(Name.CERTIFICATE_ENDING, **ENDING, days=29)
    ((first,),) = await office.look()
    assert first.startswith("The certificate of Alice ends on 2026-07-01, in 29 days.")
    for _ in range(3):
        office.journal.note(Name.REVOCATION_UNKNOWN, **PLACE)
    office.journal.note(Name.CERTIFICATE_ENDING, **ENDING, days=29)
    office.journal.note(
        Name.CERTIFICATE_REFUSED, address="bob@x.example", source="acme", reason="no"
    )
    assert await office.look() == []
    office.clock.now += DAY + timedelta(seconds=1)
    ((one, two),) = await office.look()
    assert one.startswith("No certificate for bob@x.example: acme refused: no.")
    assert two.endswith("cannot be learnt from http://crl.example/1: nobody there")
    office.clock.now += DAY + timedelta(seconds=1)
    assert await office.look() == []
    office.journal.note(Name.REVOCATION_UNKNOWN, **PLACE)  # another day
    assert len(await office.look()) == 1


async def test_grave_things_at_once(office: Office) -> None:
    """Mail is held because a key changed, and the postmaster hears of it tomorrow."""
    office.journal.note(Name.CERTIFICATE_ENDING, **ENDING, days=6)
    assert len(await office.look()) == 1
    office.journal.note(Name.CERTIFICATE_ENDING, **ENDING | {"fingerprint": "cd"}, days=6)
    office.journal.note(Name.CERTIFICATE_ENDING, **ENDING, days=0)
    ((one,),) = await office.look()
    assert "in 0 days" in one
    for name in ("b", "c"):
        address = f"{name}@x.example"
        office.journal.note(Name.CERTIFICATE_HELD, address=address, fingerprint="ef", reason="new")
    assert await office.look() == []  # not one letter for each of a hundred
    office.clock.now += PAUSE + timedelta(seconds=1)
    (both,) = await office.look()
    assert len(both) == 2


async def test_nothing_is_lost_while_the_queue_is_full(office: Office) -> None:
    """A letter that could not be written is never written."""
    office.is_full = True
    office.journal.note(Name.CERTIFICATE_HELD, address="b@x.example", reason="new")
    assert await office.look() == []
    office.is_full = False
    office.clock.now += timedelta(minutes=6)
    assert len(await office.look()) == 1


def test_what_is_told_and_how(office: Office) -> None:
    """A letter about a letter, for ever; or a certificate's name that writes header fields."""
    assert notice(Event(Name.DELIVERY_FAILED, office.clock.now)) is None
    bad: dict[str, str | int | float | bool | None] = {
        "subject": "x\r\nBcc: all@x.example\r\n\r\n{0} {reason}",
        "days": 3,
    }
    found = notice(Event(Name.CERTIFICATE_ENDING, office.clock.now, "", bad))
    assert found is not None
    bouncer = Bouncer(
        "gate.xyz.example",
        lambda _: "inbound",
        lambda _: "Q",
        lambda: "token",
        Mailbox.parse("postmaster@xyz.example"),
    )
    item = bouncer.letter((found,), office.clock.now)
    assert item is not None
    assert item.envelope.return_path is None
    content = join(item.content)
    header, _, body = content.partition(b"\r\n\r\n")
    assert b"Auto-Submitted: auto-generated" in header
    assert b"Subject: Certificates: 1 thing to look at" in header
    assert b"Bcc" not in header
    assert b"x Bcc: all@x.example {0} {reason}" in b" ".join(body.split())
