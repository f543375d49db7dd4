"""Debian's Postfix on both sides, Gatepost as its smart host and in front of it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.conftest import peer
from tests.patience import until
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, read, submit, text, verdict
from tests.peers.postfix import Postfix, free_port
from tests.peers.submitter import smtp_source, swaks
from tests.peers.tap import Tap

US, UK = "xyz.us.example", "xyz.co.uk.example"
ALICE, BOB = f"alice@{US}", f"bob@{UK}"
SECRET = "The price is 2.4 million, not a penny less."
MANDATORY = f"""\
[[rule]]
name = "Our London office"
to = "{UK}"
encrypt = "mandatory"
"""
pytestmark = pytest.mark.peer("postfix")


@dataclass
class Companies:
    """Two Postfixes, each handing everything for others to its own Gatepost."""

    mail_us: Postfix
    mail_uk: Postfix
    us: Gateway
    uk: Gateway
    wire: Tap


@pytest.fixture(scope="module")
def companies() -> Iterator[Companies]:
    """Both companies; Alice's gateway has learned Bob's certificate from his first mail."""
    peer("postfix", "swaks", "smtp-source")
    with Lab() as lab:
        mail_us, mail_uk, us_port, uk_port = (free_port() for _ in range(4))
        wire = lab.tap(uk_port)
        us = lab.gateway(US, mail_us, wire.port, port=us_port)
        uk = lab.gateway(UK, mail_uk, us_port, port=uk_port)
        us.trust(uk)
        uk.trust(us)
        made = Companies(
            _postfix(lab, mail_us, f"mail.{US}", us_port, ALICE),
            _postfix(lab, mail_uk, f"mail.{UK}", uk_port, BOB),
            us,
            uk,
            wire,
        )
        swaks(mail_uk, BOB, ALICE, "--header", "Subject: Good morning", "--body", "My first.")
        (first,) = made.mail_us.wait_for(ALICE)
        assert verdict(first, us.name) == "pass"
        us.wait_for("certificate.harvested", address=BOB)
        us.policy(MANDATORY)
        yield made


@pytest.mark.peer("swaks")
def test_alice_to_bob(companies: Companies) -> None:
    """Bob's Maildir holds what Alice wrote, verified; the wire between saw none of it."""
    swaks(companies.mail_us.port, ALICE, BOB, "--header", "Subject: Offer", "--body", SECRET)
    arrived = _newest(companies.mail_uk, BOB, "Offer")
    assert text(arrived).rstrip("\n") == SECRET
    assert verdict(arrived, companies.uk.name) == "pass"
    assert read(arrived)["Subject"].startswith("[encrypted] [signed]")
    hop = companies.wire.octets()
    assert b"application/pkcs7-mime" in hop
    assert SECRET.encode() not in hop
    until(lambda: companies.mail_us.queued() == 0)


@pytest.mark.peer("smtp-source")
def test_many_at_once(companies: Companies) -> None:
    """Forty mails over four connections: each arrives once, opened and verified."""
    smtp_source(companies.mail_us.port, ALICE, BOB, "Load", count=40, size=10_240, sessions=4)
    found = _matching(companies.mail_uk, BOB, "Load", 40)
    assert len({read(one)["Message-ID"] for one in found}) == 40
    for one in found:
        assert verdict(one, companies.uk.name) == "pass"
        assert "[encrypted] [signed]" in read(one)["Subject"]
        assert len(one) > 10_000


def test_eight_bit_through_postfix(companies: Companies) -> None:
    """Umlauts and dots at line starts survive two Postfixes and two Gateposts."""
    said = "Grüße\r\n.\r\n..zwei Punkte\r\nEnde\r\n"
    letter = Letter(ALICE, BOB, "Dots", said.encode(), _UTF8)
    submit(companies.mail_us.port, letter, options=("BODY=8BITMIME",))
    arrived = _newest(companies.mail_uk, BOB, "Dots")
    assert text(arrived) == said.replace("\r\n", "\n")
    assert verdict(arrived, companies.uk.name) == "pass"


@pytest.mark.peer("swaks")
def test_no_certificate(companies: Companies) -> None:
    """A mail that must be encrypted and cannot be: Alice hears why, and nothing left."""
    before = len(companies.wire.octets())
    swaks(companies.mail_us.port, ALICE, f"carol@{UK}", "--body", SECRET)
    bounce = _newest(companies.mail_us, ALICE, "Undelivered")
    reason = " ".join(bounce.decode().split())
    assert "550 5.7.1" in reason
    assert f"carol@{UK}" in reason
    assert "Our London office" in reason
    assert re.search(r"status=bounced .*550 5\.7\.1", companies.mail_us.log)
    assert b"MAIL" not in companies.wire.octets()[before:]  # connections at rest may end


_UTF8 = (
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
)


def _postfix(lab: Lab, port: int, name: str, gateway: int, *mailboxes: str) -> Postfix:
    settings = {"myhostname": name, "myorigin": name, "relayhost": f"[127.0.0.1]:{gateway}"}
    return lab.postfix(name, port, settings=settings, mailboxes=mailboxes)


def _matching(postfix: Postfix, address: str, subject: str, count: int) -> list[bytes]:
    """The mails with these words in their subject, once there are so many."""
    total = count
    while True:
        found = [
            one for one in postfix.wait_for(address, total) if subject in str(read(one)["Subject"])
        ]
        if len(found) >= count:
            assert len(found) == count
            return found
        total += count - len(found)


def _newest(postfix: Postfix, address: str, subject: str) -> bytes:
    return _matching(postfix, address, subject, 1)[0]
