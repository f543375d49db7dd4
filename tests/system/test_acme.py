"""Certificates by ACME for S/MIME (RFC 8823): ordered, challenged, answered and used by itself.

On the other side is acme2certifier, not written here.  The test plays the Internet's mail: it
hands what the authority sends to the gateway's listener, and what the gateway sends to the
authority's mailbox (`tests.peers.acme_ca` says which part of that mailbox is a stub).
"""

from __future__ import annotations

import asyncio
import smtplib
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.peers.acme_ca import HMAC_KEY, KID, ROBOT, AcmeCa
from tests.peers.lab import Lab
from tests.peers.letter import Letter, read, submit
from tests.peers.mailbox import Mailbox
from tests.system.test_enrolment import Clock, until

from gatepost.certificate import Certificate
from gatepost.config import load
from gatepost.engine import enroller
from gatepost.engine.journal import Journal
from gatepost.engine.service import Service
from gatepost.enrol.acme import SENT
from gatepost.events import Event, Name

pytestmark = pytest.mark.peer("openssl")

US, ALICE, ANNA = (
    "example.com",
    "alice@example.com",
    "anna@example.com",
)  # it refuses TLDs that are none
BOB = "bob@partner.example"


def settings(authority: AcmeCa, secret: Path) -> str:
    """Everybody's certificates come from the authority."""
    return f"""
[[certificate_source]]
name = "ca"
kind = "acme"
[certificate_source.acme]
url = "{authority.url}"
contact = "pki@example.com"
terms = "https://ca.example/terms"
eab_kid = "{KID}"
password_file = "{secret}"
anchors = "{authority.anchors}"
[[identity]]
source = "ca"
"""


@dataclass
class Stand:
    """A gateway in this process, its clock, and the authority."""

    port: int
    service: Service
    clock: Clock
    authority: AcmeCa
    inbox: Mailbox  # Alice's own server
    world: Mailbox
    events: list[Event] = field(default_factory=list)

    async def send(self, letter: Letter) -> str:
        """Submit once; what the author's server is told when it is not taken."""
        try:
            await asyncio.to_thread(submit, self.port, letter)
        except smtplib.SMTPResponseException as error:
            return f"{error.smtp_code} {error.smtp_error!r}"
        return ""

    async def challenge(self, address: str) -> bytes:
        """The authority's mail to somebody, once it was sent."""
        sought = f"\nTo: {address}\r\n".encode()

        def found() -> list[bytes]:
            return [one for one in self.authority.post.sent if sought in one]

        await until(lambda: not found())
        return found()[-1]

    async def bring(self, mail: bytes, to: str, sender: str = ROBOT) -> None:
        """Hand a mail from the world in, until it is taken."""

        def is_deferred() -> bool:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
                client.ehlo("mail.ca.example")
                client.mail(sender)
                client.rcpt(to)
                code, said = client.data(mail)
            assert code in {250, 451}, said
            return code == 451

        await until(lambda: asyncio.to_thread(is_deferred))

    def responses(self, address: str) -> list[bytes]:
        """What was answered in somebody's name."""
        mails = [one for one in self.world.mails if one.sender == address]
        return [one.content for one in mails if b"BEGIN ACME RESPONSE" in one.content]

    def request(self, address: str) -> dict[str, object]:
        """What is known of a request under way."""
        (found,) = self.service.stores.directory.requests.of(address)
        return found.as_data()

    def current(self, address: str) -> Certificate | None:
        """Somebody's certificate."""
        return self.service.stores.directory.enrolled(address, "sign")

    def later(self, wait: timedelta) -> None:
        """Turn the clock."""
        self.clock.now += wait


@pytest.fixture
async def stand(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stand]:
    """All of it."""
    monkeypatch.setattr(enroller, "PERIOD", 0.05)
    inbox, world = lab.mailbox(), lab.mailbox()
    gateway = lab.planned(US, inbox.port, world.port)
    secret = lab.folder / "eab"
    secret.touch(mode=0o600)
    secret.write_text(HMAC_KEY)
    with AcmeCa(lab.folder / "ca") as authority:
        gateway.edit({"[vault]": f"{settings(authority, secret)}[vault]"})
        clock = Clock(datetime.now(UTC).replace(microsecond=0))
        journal = Journal(clock)
        events: list[Event] = []
        journal.observe(events.append)
        service = Service(load(gateway.config), clock=clock, journal=journal)
        await service.start()
        yield Stand(gateway.port, service, clock, authority, inbox, world, events)
        await service.stop()


async def test_from_the_first_mail_to_a_signed_one(stand: Stand) -> None:
    """Somebody has to order certificates, copy tokens from mails, and file what comes."""
    first = Letter(ALICE, BOB)
    assert (await stand.send(first)).startswith("451")
    challenge = await stand.challenge(ALICE)
    assert not stand.responses(ALICE)

    await stand.bring(challenge, ALICE)
    await until(lambda: not stand.responses(ALICE))
    (answer,) = stand.responses(ALICE)
    assert read(answer)["To"].addresses[0].addr_spec == ROBOT
    assert not stand.inbox.mails  # the challenge was for the gateway
    stand.authority.post.inbox.append(answer)

    await stand.bring(challenge, ALICE)  # it comes again: nothing is answered, nobody bothered
    await stand.bring(challenge.replace(b"acme@ca", b"evil@ca"), ALICE)  # ordinary mail
    await until(lambda: not stand.inbox.mails)

    stand.later(SENT + timedelta(seconds=1))
    await until(lambda: "read the answer" not in str(stand.request(ALICE)["waits_for"]))
    stand.later(timedelta(seconds=30))
    await until(lambda: stand.current(ALICE) is None)
    found = stand.current(ALICE)
    assert found is not None
    assert found.issuer == Certificate.from_pem(stand.authority.root.read_bytes())[0].subject
    assert len(stand.responses(ALICE)) == 1
    assert [one.name for one in stand.events].count(Name.CHALLENGE_ANSWERED) == 1

    await until(lambda: stand.send(first))
    (mail,) = await asyncio.to_thread(stand.world.wait_for, first.id)
    assert verified(mail.content, stand.authority.root) == first.body.replace(b"\r\n", b"\n")


def verified(octets: bytes, anchors: Path) -> bytes:
    """The text of a signed mail, if OpenSSL finds its signature valid."""
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-CAfile", str(anchors), "-purpose", "smimesign"],
        input=octets,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace(b"\r\n", b"\n").partition(b"\n\n")[2]
