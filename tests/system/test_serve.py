"""`gatepost serve` as an administrator runs it: many recipients, holding, workers, commands."""

import json
from pathlib import Path

import pytest
from tests.patience import until
from tests.peers.lab import Lab, introduce
from tests.peers.letter import Letter, submit, text, verdict
from tests.peers.pair import ALICE, BOB, UK, pair

from gatepost.certificate import Certificate
from gatepost.config import load
from gatepost.engine.service import Stores, utc_now
from gatepost.mail.address import Mailbox

HOLD = """\
[inbound]
broken_signature = "hold"
undecryptable = "hold"
"""


@pytest.mark.slow
def test_two_hundred_recipients(lab: Lab) -> None:
    """A circular to 200 people is one transaction, one CMS, and one copy for everybody."""
    world = pair(lab)
    people = [f"person{n:03}@{UK}" for n in range(200)]
    certificates = _enrolled(world.uk.config, people)
    _known(world.us.config, certificates)
    before = len(world.wire.octets())
    letter = Letter(ALICE, ", ".join(people).replace(", ", ",\r\n "), body=b"To all of you.\r\n")
    assert submit(world.us.port, letter, *people) == {}
    world.uk.wait_for("delivery.done", 1 + len(people))
    mails = world.bobs.with_id(letter.id)
    assert sorted(one for mail in mails for one in mail.recipients) == people
    for mail in mails:
        assert text(mail.content) == "To all of you.\n"
        assert verdict(mail.content, world.uk.name) == "pass"
    hop = world.wire.octets()[before:]
    assert hop.count(b"\r\nDATA\r\n") == 1
    assert b"To all of you" not in hop
    assert len(world.us.events("message.accepted", recipients=200)) == 1


def test_held_mail(lab: Lab) -> None:
    """Mail that policy holds is safe, shown by `queue list`, and goes on at a word."""
    world = pair(lab)
    world.uk.policy(HOLD)
    stranger = Letter("mallory@evil.example", BOB, "Hello", b"x\r\n" * 3, headers=_SEALED)
    assert submit(world.uk.port, stranger) == {}
    held = world.uk.wait_for("message.held")[-1]
    until(lambda: len(world.uk.asked("queue", "list")) == 1)  # the disk is behind the log
    (item,) = world.uk.asked("queue", "list")
    assert item["state"] == "hold"
    assert item["queue_id"] == held["queue_id"]
    assert [one["address"] for one in item["recipients"]] == [BOB]
    assert "hold" in world.uk.command("queue", "list")
    assert world.bobs.with_id(stranger.id) == []
    world.uk.command("queue", "release", item["id"])
    mail = world.bobs.wait_for(stranger.id)[0]
    assert verdict(mail.content, world.uk.name) == "none"
    world.uk.wait_for("delivery.done", to=BOB, queue_id=item["queue_id"])
    until(world.uk.queue_is_empty)


def test_outage_and_retry(lab: Lab) -> None:
    """While Bob's mail server is away mail waits sealed; `queue retry` brings it at once."""
    world = pair(lab)
    away = world.bobs.port
    world.bobs.close()
    letter = Letter(ALICE, BOB, body=b"The price is 2.4 million.\r\n")
    submit(world.us.port, letter)
    world.uk.wait_for("delivery.retry", to=BOB)
    until(lambda: [one["tries"] for one in world.uk.asked("queue", "list")] == [1])
    (item,) = world.uk.asked("queue", "list")
    for path in world.uk.state.rglob("*"):
        assert not path.is_file() or b"2.4 million" not in path.read_bytes(), path
    back = lab.mailbox(away)
    world.uk.command("queue", "retry", item["id"])
    mail = back.wait_for(letter.id)[0]
    assert text(mail.content) == "The price is 2.4 million.\n"


def test_two_workers(lab: Lab) -> None:
    """Two processes share port and folder; nothing is lost or doubled, one command sees both."""
    world = pair(lab, edits={"# workers = 1": "workers = 2"})
    letters = [Letter(ALICE, BOB, f"Number {n}") for n in range(30)]
    for letter in letters:
        submit(world.us.port, letter)
    for letter in letters:
        (mail,) = world.bobs.wait_for(letter.id)
        assert verdict(mail.content, world.uk.name) == "pass"
    assert sorted(path.stem for path in (world.us.state / "queue").glob("*.db")) == ["0", "1"]
    last = world.us.events("message.accepted")[-1]["queue_id"]
    world.us.wait_for("delivery.done", queue_id=last)
    wanted = ["message.decided", "delivery.done"]  # the disk is a little behind the log
    until(lambda: [one["name"] for one in world.us.asked("trace", last)["records"]] == wanted)


def test_new_colleague_needs_nothing(lab: Lab) -> None:
    """Whoever writes for the first time gets certificates and is verified on the other side."""
    world = pair(lab)
    introduce(world.uk, f"erin@{UK}", world.us, ALICE)
    letter = Letter(ALICE, f"erin@{UK}", body=b"Welcome.\r\n")
    mail = world.carried(letter)
    assert verdict(mail.content, world.uk.name) == "pass"
    path = lab.folder / "plain.eml"
    path.write_bytes(letter.octets)
    told = world.us.asked("explain", str(path), "--from", ALICE, "--to", f"erin@{UK}")
    assert "aes256-gcm" in json.dumps(told)
    assert world.us.asked("check")  # read-only, while it runs


_SEALED = (
    "MIME-Version: 1.0",
    "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
    "Content-Transfer-Encoding: base64",
)


def _enrolled(config: Path, people: list[str]) -> list[tuple[Mailbox, Certificate]]:
    """Give everybody a P-256 certificate, as their first mails would."""
    path = config.with_name("p256.toml")
    path.write_text(config.read_text().replace("# [authority]", '[authority]\nuser_key = "p256"'))
    stores = Stores.open(load(path))
    try:
        assert stores.authority is not None
        mailboxes = [Mailbox.parse(one) for one in people]
        return [(one, stores.authority.issue(one, "encrypt", utc_now())) for one in mailboxes]
    finally:
        stores.close()


def _known(config: Path, certificates: list[tuple[Mailbox, Certificate]]) -> None:
    stores = Stores.open(load(config))
    try:
        for mailbox, certificate in certificates:
            stores.directory.add_certificate(certificate, [mailbox], now=utc_now())
    finally:
        stores.close()
