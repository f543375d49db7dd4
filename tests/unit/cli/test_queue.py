"""`gatepost queue`, `mailq` and `trace`, on a real queue beside a process that serves it."""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.cli.run import called
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.store.queue import Queue
from gatepost.store.queue_item import Item, NewItem, Record
from gatepost.vault.kek import Kek
from gatepost.vault.seal import Sealer

ID = "TESTQUEUEID"
ENVELOPE = Envelope(
    Mailbox("alice", "example.com"), (Recipient(Mailbox("bob", "partner.example")),)
)


@pytest.fixture
async def item(home: Path, frozen: datetime) -> AsyncIterator[Item]:
    """One item of a queue that a process has open."""
    folder = home / "gatepost-state" / "queue"
    queue = Queue(folder, Sealer(Kek(bytes(32)), "queue"), clock=lambda: frozen)
    message = NewItem(ID, ENVELOPE, "outbound", Octets(b"Subject: secret\r\n\r\nsecret\r\n"))
    record = Record(ID, frozen, "delivery.retry", json.dumps({"reply": "451 4.4.1 later"}))
    (stored,) = await queue.accept([message], [record])
    yield stored
    queue.close()


@pytest.mark.usefixtures("home")
def test_an_empty_queue(gatepost: Gatepost) -> None:
    """An empty queue looks like a fault."""
    assert gatepost("mailq").out == "Mail queue is empty\n"
    assert gatepost("queue", "list").out == "the queue is empty\n"
    assert gatepost("queue", "list", "--json").data == []
    assert gatepost("queue", "show", ID).code == 2
    assert gatepost("queue", "retry", "all").code == 1
    assert gatepost("trace", ID).code == 2


async def test_list_and_show(gatepost: Gatepost, item: Item) -> None:
    """Waiting mail cannot be seen, or can be read."""
    assert item.id in gatepost("mailq").out
    (one,) = gatepost("queue", "list", "--json").data
    assert one["queue_id"] == ID
    assert one["recipients"] == [{"address": "bob@partner.example", "last_reply": None}]
    for command in (("mailq",), ("queue", "show", ID), ("trace", ID), ("queue", "show", item.id)):
        ran = gatepost(*command)
        assert ran.code == 0
        assert "secret" not in ran.out


async def test_hold_and_release(gatepost: Gatepost, item: Item) -> None:
    """A mail that must not leave leaves."""
    assert gatepost("queue", "hold", ID, "--reason", "legal asked").code == 0
    assert gatepost("queue", "list", "--state", "hold", "--json").data[0]["reason"] == "legal asked"
    assert "legal asked" in gatepost("mailq").out
    assert gatepost("check", "--only", "QUE-02").code == 1
    assert gatepost("queue", "release", item.id).code == 0
    assert gatepost("queue", "list", "--state", "hold", "--json").data == []
    assert gatepost("queue", "retry", ID).code == 0


async def test_a_domain(gatepost: Gatepost, item: Item) -> None:
    """A partner's server is back: each of his mails by its id, or everybody's at once."""
    for place in ("partner.example", "PARTNER.example", "outbound"):
        (one,) = gatepost("queue", "retry", place, "--json").data
        assert one["id"] == item.id
    assert gatepost("queue", "retry", "another.example").code == 2
    assert gatepost("queue", "retry", "example").code == 2
    assert gatepost("queue", "hold", "partner.example").code == 0
    assert gatepost("queue", "list", "--state", "hold", "--json").data[0]["id"] == item.id
    assert gatepost("queue", "quarantine", ID, "--reason", "forged").code == 0
    assert gatepost("queue", "delete", "partner.example", "--yes").code == 1
    assert gatepost("queue", "list", "--json").data != []


async def test_quarantine_wants_a_reason(gatepost: Gatepost, item: Item) -> None:
    """Somebody lets a forged mail out and nobody can say who, or `release all` does it."""
    assert "--reason" in gatepost("queue", "quarantine", ID).err
    assert gatepost("queue", "quarantine", ID, "--reason", "forged").code == 0
    assert gatepost("queue", "list", "--state", "quarantine", "--json").data[0]["id"] == item.id
    assert gatepost("check", "--only", "QUE-02").code == 1
    assert gatepost("queue", "retry", ID).code == 1
    assert gatepost("queue", "release", "all", "--reason", "all is well").code == 1
    assert gatepost("queue", "delete", "all", "--yes").code == 1
    for verb in (("release",), ("delete", "--yes")):
        ran = gatepost("queue", *verb, ID)
        assert ran.code == 2
        assert "recorded with your name" in ran.err
    assert gatepost("queue", "release", ID, "--reason", "the author called").code == 0
    notes = [one["data"] for one in gatepost("trace", ID, "--json").data["records"]]
    quarantined, released = (one for one in notes if "verb" in one)
    assert (quarantined["verb"], quarantined["was"], quarantined["reason"]) == (
        "quarantine", "active", "forged"
    )  # fmt: skip
    assert (released["verb"], released["was"]) == ("release", "quarantine")
    assert released["by"]


async def test_mailq_as_postfix_writes_it(gatepost: Gatepost, item: Item) -> None:
    """Scripts and eyes that know mailq find nothing."""
    gatepost("queue", "hold", ID, "--reason", "legal asked")
    heading, first, why, recipient, blank, total = gatepost("mailq").out.splitlines()
    assert heading == "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
    moment = item.created.astimezone()
    assert (
        first
        == f"TESTQUEUEID!            27 {moment:%a %b} {moment.day:2} {moment:%H:%M:%S} alice@example.com"
    )
    assert why == " " * 59 + "(hold: legal asked)"
    assert recipient == " " * 47 + "bob@partner.example"
    assert (blank, total) == ("", "-- 1 Kbytes in 1 Request.")
    assert gatepost("mailq", "--json").data[0]["id"] == ID


def test_called_by_the_name_of_mailq() -> None:
    """A link named mailq starts something else."""
    assert called("/usr/local/bin/mailq", ["--json"]) == ["mailq", "--json"]
    assert called("/usr/local/bin/gatepost", ["check"]) == ["check"]


async def test_delete_asks(gatepost: Gatepost, item: Item) -> None:
    """Mail is lost by a slip of the hand."""
    for how in ((), ("--json",)):
        assert gatepost("queue", "delete", ID, *how).code == 2
    assert gatepost("queue", "show", item.id).code == 0
    assert gatepost("queue", "delete", ID, "--yes").code == 0
    assert gatepost("mailq").out == "Mail queue is empty\n"
    assert "451 4.4.1 later" in gatepost("trace", ID).out


async def test_trace_as_json(gatepost: Gatepost, item: Item) -> None:
    """A program cannot follow a message."""
    data = gatepost("trace", ID, "--json").data
    assert data["records"][0]["data"] == {"reply": "451 4.4.1 later"}
    assert data["waiting"] == [item.id]
