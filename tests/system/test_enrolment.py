"""Certificates from an authority outside, through a running gateway: waited for, used, renewed."""

from __future__ import annotations

import asyncio
import base64
import os
import smtplib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, read, submit, text
from tests.peers.mailbox import Mailbox
from tests.unit.engine.outside import Outside, later

from gatepost.certificate import Certificate
from gatepost.config import load
from gatepost.engine import enroller
from gatepost.engine.issuer import GROUP
from gatepost.engine.service import Service
from gatepost.mail.content import Octets, join
from gatepost.smime.encrypt import encrypt

US, ALICE, BOB = "us.example", "alice@us.example", "bob@partner.example"
RULES = """
[[certificate_source]]
name = "outside"
kind = "in-process"
[[identity]]
patterns = ["*@us.example"]
source = "outside"
key_type = "p256"
"""


class Authorities:
    """Where the plug-in of this test finds the authority."""

    present: Outside


def make(_name: str, _options: dict[str, Any]) -> Outside:
    """The plug-in."""
    return Authorities.present


@dataclass
class Clock:
    """A clock to turn."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Stand:
    """A gateway in this process, its clock, and the authority outside."""

    gateway: Gateway
    service: Service
    clock: Clock
    outside: Outside
    inbox: Mailbox
    world: Mailbox

    async def send(self, letter: Letter) -> str:
        """Submit once; what the author's server is told when it is not taken."""
        try:
            await asyncio.to_thread(submit, self.gateway.port, letter)
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error
            return f"{error.smtp_code} {said.decode() if isinstance(said, bytes) else said}"
        return ""

    async def sent(self, letter: Letter) -> None:
        """Submit as a mail server does, until it is taken."""
        await until(lambda: self.send(letter))

    def pending(self) -> int:
        """How many requests are under way."""
        return len(self.service.stores.directory.requests.all())

    def current(self) -> Certificate | None:
        """Alice's certificate."""
        return self.service.stores.directory.enrolled(ALICE, "sign")


async def until(check: Callable[[], Any]) -> None:
    """Wait for something false: an empty text, no requests."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = check()
            if not (await found if asyncio.iscoroutine(found) else found):
                return
            await asyncio.sleep(0.05)


@pytest.fixture
async def stand(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    """All of it."""
    plug_in(lab.folder / "site-packages", monkeypatch)
    monkeypatch.setattr(enroller, "PERIOD", 0.05)
    monkeypatch.setattr(enroller, "UPKEEP_PERIOD", 0.05)
    inbox, world = lab.mailbox(), lab.mailbox()
    gateway = lab.planned(US, inbox.port, world.port)
    gateway.edit({"[vault]": f"{RULES}[vault]"})
    clock = Clock(datetime.now(UTC).replace(microsecond=0))
    Authorities.present = Outside(clock.now)
    service = Service(load(gateway.config), clock=clock)
    await service.start()
    yield Stand(gateway, service, clock, Authorities.present, inbox, world)
    await service.stop()


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the plug-in as pip would."""
    about = folder / "in_process-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: in-process\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{GROUP}]\nin-process = {__name__}:make\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])


async def test_from_the_first_mail_to_the_renewal(stand: Stand) -> None:
    """Alice's mail is lost while the authority takes its time, or her old key with her old mail."""
    inbox, world = stand.inbox, stand.world
    outside, clock = stand.outside, stand.clock
    outside.answers = [later("order 1")]
    first = Letter(ALICE, BOB)
    refused = await stand.send(first)
    assert refused.startswith("451 4.7.0 ")
    assert "cannot sign now: a certificate for alice@us.example was asked for" in refused
    await until(lambda: not outside.asked)
    assert "451" in await stand.send(first)
    assert not world.with_id(first.id)

    stand.gateway.policy('[defaults]\nsign = "always"\nunsigned = "deliver"\n')
    clock.now += timedelta(seconds=61)  # what was answered before is forgotten
    wished = Letter(ALICE, BOB)  # a signature is only wished for now
    await stand.sent(wished)
    (unsigned,) = await asyncio.to_thread(world.wait_for, wished.id)
    assert read(unsigned.content).get_content_type() == "text/plain"
    stand.gateway.policy('[defaults]\nsign = "always"\n')

    clock.now += timedelta(minutes=10)
    await until(stand.pending)
    await stand.sent(first)
    (mail,) = await asyncio.to_thread(world.wait_for, first.id)
    old = stand.current()
    assert old is not None
    assert old.issuer == outside.ca.subject
    assert carries(mail.content, old)
    assert outside.asked == ["request", "collect order 1"]

    clock.now = old.not_after - timedelta(days=20)
    outside.answers = [later("order 2")]
    await until(lambda: len(outside.asked) < 3)
    meanwhile = Letter(ALICE, BOB)
    await stand.sent(meanwhile)
    (mail,) = await asyncio.to_thread(world.wait_for, meanwhile.id)
    assert carries(mail.content, old)
    clock.now += timedelta(minutes=10)
    await until(stand.pending)
    new = stand.current()
    assert new not in {None, old}
    assert new is not None
    after = Letter(ALICE, BOB)
    await stand.sent(after)
    (mail,) = await asyncio.to_thread(world.wait_for, after.id)
    assert carries(mail.content, new)
    assert not carries(mail.content, old)

    plain = Letter(BOB, ALICE, body=b"Written to the old key.\r\n")
    header, _, body = plain.octets.partition(b"\r\n\r\n")
    lines, sealed = encrypt(
        header + b"\r\n", Octets(body), (old,), cipher="aes256-gcm", entropy=os.urandom
    )
    octets = lines + b"\r\n" + join(sealed)
    assert b"Written" not in octets
    await asyncio.to_thread(send_octets, stand.gateway.port, octets)
    (mail,) = await asyncio.to_thread(inbox.wait_for, plain.id)
    assert text(mail.content) == "Written to the old key.\n"


def send_octets(port: int, octets: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.sendmail(BOB, [ALICE], octets)


def carries(octets: bytes, certificate: Certificate) -> bool:
    """Whether the signature of a mail brings this certificate."""
    parts = [one for one in read(octets).walk() if one.get_content_subtype() == "pkcs7-signature"]
    assert len(parts) == 1
    return certificate.der in base64.b64decode(str(parts[0].get_payload()))
