"""Signed mail through a running gateway while its CA can be asked; proven years later, offline."""

import base64
import hashlib
import json
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE, until
from tests.peers.gateway import Gateway, call
from tests.peers.lab import Lab
from tests.peers.letter import Letter, read, submit, verdict
from tests.peers.mailbox import Mail
from tests.peers.mailbox import Mailbox as Server
from tests.peers.pages import Pages
from tests.peers.publisher import DAY, Publisher
from tests.pki_builder import User

from gatepost.admin.access import opened
from gatepost.admin.clock import utc_now
from gatepost.cms import signed
from gatepost.mime.entity import split_header
from gatepost.smime.layers import outermost

pytestmark = pytest.mark.peer("openssl")

US, THEM = "xyz.us.example", "partner.example"
ALICE, BOB, CAROL = f"alice@{US}", f"bob@{THEM}", f"carol@{THEM}"
POLICY = f"""
[[rule]]
name = "Partner"
to = "{THEM}"
encrypt = "mandatory"
[inbound]
keep_evidence = true
[[inbound.rule]]
name = "Carol"
from = "{CAROL}"
expect = "signed"
unmet = "quarantine"
"""
ALONE = """
import sys
def refuse(event, _):
    if event.startswith("socket."):
        raise SystemExit(f"{event}: the network is gone")
sys.addaudithook(refuse)
from gatepost.cli.run import run
sys.exit(run(sys.argv[1:]))
"""


@dataclass
class World:
    """A gateway that insists on knowing, and a CA in whose lists or answers its partners stand."""

    folder: Path
    us: Gateway
    ours: Server
    there: Server
    publisher: Publisher
    bob: User  # of whom a list tells
    carol: User  # of whom a responder tells

    def arrives(self, who: User) -> Letter:
        """Somebody writes to Alice, and OpenSSL signs it."""
        letter = Letter(who.certificate.emails[0], ALICE, "Signed")
        certificate, key = who.write(self.folder / letter.sender)
        above = self.folder / "above.pem"
        above.write_text(self.publisher.issuing.certificate.pem)
        made = subprocess.run(
            ("openssl", "cms", "-sign", "-signer", certificate, "-inkey", key, "-certfile", above),
            input=b"Content-Type: text/plain\r\n\r\n" + letter.body,
            capture_output=True,
            check=True,
        ).stdout
        header = letter.octets.partition(b"\r\n\r\n")[0]
        mail = header + b"\r\n" + made.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        with smtplib.SMTP("127.0.0.1", self.us.port, timeout=60) as client:
            client.sendmail(letter.sender, [ALICE], mail)
        return letter

    def delivered(self, who: User) -> Mail:
        """The same as Alice's mail server gets it."""
        return self.ours.wait_for(self.arrives(who).id)[0]

    def a_day_later(self) -> None:
        """What was fetched has run out."""
        assert self.us.stop() == 0
        with opened(self.us.config) as (_, stores):
            stores.directory.statuses.prune(utc_now() + DAY)
        self.us.start()

    def kept(self, count: int) -> list[dict[str, Any]]:
        """The evidence, which is written after the reply."""
        until(lambda: len(self.us.asked("evidence", "list")) >= count)
        return list(self.us.asked("evidence", "list"))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[World, ExitStack]]:
    """Started for the one test, which takes it all away."""
    with Lab() as lab, ExitStack() as outside:
        publisher = Publisher(outside.enter_context(Pages()))
        ours, there = lab.mailbox(), lab.mailbox()
        tables = f"""[revocation]
inbound = "hard"
outbound = "hard"
staple = "lists"
private = ["127.0.0.0/8"]
patience = "{int(PATIENCE)}s"
[log]"""
        us = lab.gateway(US, ours.port, there.port, edits={"[log]": tables})
        anchor = tmp_path / "root.pem"
        anchor.write_text(publisher.root.certificate.pem)
        us.command("partner", "add", THEM, "--ca", str(anchor))
        us.command("cert", "issue", f"postmaster@{US}")
        us.policy(POLICY)
        carol = publisher.user(CAROL, responder=True)
        bob = publisher.user(BOB)
        yield World(tmp_path, us, ours, there, publisher, bob, carol), outside


def test_good_then_revoked_then_proven_offline(running: tuple[World, ExitStack]) -> None:
    """In a dispute ten years later nobody could say whether Bob's key was good when he signed."""
    world, outside = running
    for count, who in enumerate((world.bob, world.carol), 1):
        mail = world.delivered(who)
        assert verdict(mail.content, world.us.name) == "pass"
        assert read(mail.content)["Subject"] == "[signed] Signed"
        assert world.kept(count)[-1]["signers"] == [who.certificate.name]
    good = list(world.publisher.said)
    assert len(good) == 3  # Bob's list, the root's, the answer about Carol: each asked for once
    _carries(world)
    _revoked(world)
    assert len(world.kept(2)) == 2
    path = world.folder / "evidence.gatepost"
    world.us.command("evidence", "export", "--output", str(path))
    assert _proofs(path) == {hashlib.sha256(one).hexdigest(): one for one in good}
    assert world.us.stop() == 0
    outside.close()
    said = json.loads(_alone("evidence", "verify", str(path), "--json"))
    assert said["agrees"]
    assert [one["signature"] for one in said["records"]] == ["valid", "valid"]
    assert [one["path"] for one in said["records"]] == ["holds", "holds"]
    assert [one["revocation"] for one in said["records"]] == [
        [f"'{who}' is not revoked", "'Publishing Issuing CA' is not revoked"]
        for who in (BOB, CAROL)
    ]
    _forged(path)


def _carries(world: World) -> None:
    """What Alice signs brings her own CA's lists along, once they are made."""
    deadline = time.monotonic() + PATIENCE
    while True:
        letter = Letter(ALICE, "dora@elsewhere.example")
        assert submit(world.us.port, letter) == {}
        (mail,) = world.there.wait_for(letter.id)
        layer = outermost(*split_header(mail.content))
        assert layer is not None
        found = signed.parse(layer.octets).enclosed
        if found:
            break
        assert time.monotonic() < deadline
    assert [one.kind for one in found] == ["crl", "crl"]


def _revoked(world: World) -> None:
    """Both keys are stolen: what the policy says happens, in both directions."""
    world.publisher.revoke(world.bob)
    world.publisher.revoke(world.carol)
    world.a_day_later()
    mail = world.delivered(world.bob)
    assert verdict(mail.content, world.us.name) == "policy"
    assert read(mail.content)["Subject"] == "[signed: not trusted] Signed"
    results = " ".join(str(read(mail.content)["Authentication-Results"]).split())
    assert f"'{BOB}' was revoked on" in results
    assert "keyCompromise" in results
    world.arrives(world.carol)
    until(lambda: len(world.us.asked("queue", "list")) == 1)  # Bob's goes a moment later
    (held,) = world.us.asked("queue", "list")
    assert held["state"] == "quarantine"
    assert "expects signed mail" in held["reason"]
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        submit(world.us.port, Letter(ALICE, BOB))
    code, said = refused.value.recipients[BOB]
    assert code == 550
    assert b"was revoked" in said


def _proofs(path: Path) -> dict[str, bytes]:
    """Lists and answers in the file."""
    lines = map(json.loads, path.read_bytes().splitlines())
    return {one["proof"]: base64.b64decode(one["der"]) for one in lines if "proof" in one}


def _alone(*words: str) -> str:
    """A command in a process to which every socket is refused."""
    done = subprocess.run(
        (sys.executable, "-c", ALONE, *words), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _forged(path: Path) -> None:
    """One bit of any line, of a list, a record, the signature: nothing is proven, and where."""
    octets = path.read_bytes()
    starts = [0, *(at + 1 for at, one in enumerate(octets[:-1]) if one == ord("\n"))]
    forged = path.with_name("forged.gatepost")
    for line, start in enumerate(starts, 1):
        middle = (start + octets.index(b"\n", start)) // 2
        one = bytearray(octets)
        one[middle] ^= 1
        forged.write_bytes(one)
        said = json.loads(call("evidence", "verify", str(forged), "--json", codes=(2,)))
        assert said["error"].startswith(f"{forged}: line {line}")
