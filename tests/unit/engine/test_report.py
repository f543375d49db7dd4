"""What an author asked to be told goes with every part of his mail, and with nothing more."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.engine.desk import Desk
from tests.world import ANCHORS, THEIRS, World, facts, octets, only, outgoing

from gatepost.flow import outbound
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.mail.envelope import Recipient
from gatepost.net.application import SessionInfo
from gatepost.store.queue_item import Item

ALICE = "alice@xyz.example"
# One who can be encrypted to, one of two blind ones who can, two who cannot.
PEOPLE = {
    name: Recipient(Mailbox.parse(f"{name}@{THEIRS}"), notify, f"rfc822;{name}+40old.example")
    for name, notify in (
        ("bob", "SUCCESS,DELAY"),
        ("carol", "NEVER"),
        ("dora", "FAILURE"),
        ("eve", None),
    )
}
MAIL = b"From: alice@xyz.example\r\nTo: bob@partner.example\r\nSubject: x\r\n\r\nhello\r\n"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A gateway that signs and encrypts where it can."""
    readers = [f"{name}@{THEIRS}" for name in ("bob", "carol")]
    known = facts(readers=readers, signers=[ALICE], openers=[ALICE], anchors={THEIRS: ANCHORS})
    made = Desk(tmp_path, "", known)
    yield made
    await made.close()


def item_for(desk: Desk, name: str) -> Item:
    """The item that carries the mail to this person."""
    (found,) = [one for one in desk.submitted.items if PEOPLE[name] in one.envelope.recipients]
    return found


async def test_wishes_survive_every_split(desk: Desk) -> None:
    """Divided by treatment, the mail loses who wants to be told what, and for which address."""
    assert (await desk.mail(MAIL, *PEOPLE.values(), ret="FULL", envid="QQ1")).code == 250
    for name, recipient in PEOPLE.items():
        envelope = item_for(desk, name).envelope
        assert recipient in envelope.recipients
        assert envelope.envid == "QQ1"
    assert len(desk.submitted.items) == 3
    # What was encrypted is never to come back whole; what was only signed may.
    assert [item_for(desk, name).envelope.ret for name in PEOPLE] == [
        "HDRS",
        "HDRS",
        "FULL",
        "FULL",
    ]
    stored = {one.id: one.envelope for one in desk.queue.due("outbound", desk.clock(), 10)}
    assert stored == {}
    desk.queue.release(desk.submitted.items)
    stored = {one.id: one.envelope for one in desk.queue.due("outbound", desk.clock(), 10)}
    assert stored == {one.id: one.envelope for one in desk.submitted.items}


async def test_what_we_decrypted_is_not_to_be_returned(desk: Desk) -> None:
    """Our own server bounces Alice's opened mail, text and all, through the open Internet."""
    theirs = World.under(
        "", facts(readers=[ALICE], signers=[f"bob@{THEIRS}"]),
        domains=frozenset({THEIRS}), hostname="gate.them",
    )  # fmt: skip
    mail = f"From: bob@{THEIRS}\nTo: {ALICE}\nSubject: x\n\nSecret.\n"
    sent = octets(
        only(theirs.drive(outgoing(mail, ALICE, sender=f"bob@{THEIRS}"), outbound.STAGES))
    )
    session = SessionInfo("both", "192.0.2.1", 4711)
    for ret in ("FULL", None):
        desk.submitted.items.clear()
        reply = await desk.mail(sent, ALICE, sender=f"bob@{THEIRS}", session=session, ret=ret)
        assert reply.code == 250
        (item,) = desk.submitted.items
        assert b"Secret." in join(item.content)
        assert item.envelope.ret == "HDRS"


async def test_no_backscatter(desk: Desk) -> None:
    """Whoever forges a sender has us write to him: what is refused is refused in the session."""
    session = SessionInfo("both", "192.0.2.1", 4711)
    for sender in ("victim@elsewhere.example", None):
        ring = b"Received: from a by b; Mon, 1 Jun 2026 12:00:00 +0000\r\n" * 60
        assert (await desk.mail(ring + MAIL, ALICE, sender=sender, session=session)).code == 554
        assert (await desk.mail(MAIL, f"x@{THEIRS}", sender=sender, session=session)).code == 550
    assert desk.submitted.items == []
