"""A company whose mail server gets what `gatepost integrate` makes: one mail each way."""

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, read, submit, verdict
from tests.peers.mailbox import Mailbox
from tests.peers.postfix import free_port

HERE, THERE = "filter.example", "xyz.us.example"
BOB, ALICE = f"bob@{HERE}", f"alice@{THERE}"
ROUND_TRIPS = ("after-queue", "before-queue", "parallel")
STRANGER = "127.0.0.9"  # no network of ours


class MailServer(Protocol):
    """Postfix or Exim."""

    def delivered(self, address: str) -> list[bytes]: ...

    def wait_for(self, address: str, count: int = 1) -> list[bytes]: ...


@dataclass
class World:
    """A company's gateways, as filter and as smart host, and a partner who can sign."""

    lab: Lab
    mail: int
    back: int
    filter: Gateway
    front: Gateway
    partner: Gateway
    sink: Mailbox

    def gateway(self, topology: str) -> Gateway:
        return self.filter if topology in ROUND_TRIPS else self.front

    def carries(self, server: MailServer, topology: str) -> None:
        """One mail each way passes the gateway exactly once, whatever the topology."""
        gateway = self.gateway(topology)
        if topology != "mx":
            leaving = Letter(BOB, ALICE, "Offer")
            submit(self.mail, leaving)
            (mail,) = self.sink.wait_for(leaving.id)
            assert read(mail.content).get_content_type() == "multipart/signed"
            assert passes(mail.content, gateway) == 1
        arriving = self.signed()
        before = len(server.delivered(BOB))
        entry = self.mail if topology in ROUND_TRIPS else gateway.port
        with smtplib.SMTP("127.0.0.1", entry, timeout=60, source_address=(STRANGER, 0)) as client:
            client.sendmail(ALICE, [BOB], arriving)
        arrived = server.wait_for(BOB, before + 1)[-1]
        assert verdict(arrived, gateway.name) == "pass"
        assert passes(arrived, gateway) == 1

    def signed(self) -> bytes:
        """A mail of Alice's, signed."""
        plain, made = self.partner.folder / "plain.eml", self.partner.folder / "made.eml"
        plain.write_bytes(Letter(ALICE, BOB, "Answer").octets)
        made.unlink(missing_ok=True)
        self.partner.command("sign", str(plain), "--as", ALICE, "--output", str(made))
        return made.read_bytes()

    def knows_us(self) -> None:
        """Nobody outside may write in our name, for the gateway would sign it."""
        with (
            smtplib.SMTP(
                "127.0.0.1", self.mail, timeout=60, source_address=(STRANGER, 0)
            ) as client,
            pytest.raises(smtplib.SMTPRecipientsRefused, match="not ours"),
        ):
            client.sendmail(BOB, [BOB], Letter(BOB, BOB).octets)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """The gateways run through all tests; each test brings its mail server."""
    with Lab() as lab:
        mail, back = free_port(), free_port()
        sink = lab.mailbox()
        partner = lab.planned(THERE, free_port(), free_port())
        partner.command("cert", "issue", ALICE)
        filter_ = lab.planned(HERE, back, back)
        front = lab.planned(HERE, mail, sink.port)
        for one in (filter_, front):
            one.trust(partner)
            one.start()
        yield World(lab, mail, back, filter_, front, partner, sink)


def passes(octets: bytes, gateway: Gateway) -> int:
    """How often the mail went through this gateway."""
    fields = [" ".join(one.split()) for one in read(octets).get_all("Received", [])]
    return sum(f"by {gateway.name} " in one for one in fields)
