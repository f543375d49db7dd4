"""Gatepost as the after-queue content filter of one Postfix (FILTER_README, both directions)."""

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.conftest import peer
from tests.patience import until
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab, introduce
from tests.peers.letter import Letter, read, submit, text, verdict
from tests.peers.mailbox import Mailbox
from tests.peers.postfix import Postfix, free_port
from tests.peers.tap import Tap

HERE, THERE = "filter.example", "xyz.us.example"
BOB, ALICE = f"bob@{HERE}", f"alice@{THERE}"
SECRET = "The price is 2.4 million."
pytestmark = pytest.mark.peer("postfix")

BACK = """\
127.0.0.1:{port} inet n - n - - smtpd
  -o content_filter=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
  -o smtpd_client_restrictions=
  -o smtpd_relay_restrictions=permit_mynetworks,reject
"""
AWAY = """\
filter unix - - n - 10 smtp
  -o smtp_send_xforward_command=yes
  -o disable_mime_output_conversion=yes
"""


@dataclass
class Company:
    """One Postfix with its filter, and a partner's gateway and mailbox far away."""

    postfix: Postfix
    gateway: Gateway
    partner: Gateway
    partners: Mailbox
    wire: Tap


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    """The company and its partner, who know each other."""
    peer("postfix")
    with Lab() as lab:
        mail, back, filter_, far = (free_port() for _ in range(4))
        partners = lab.mailbox()
        wire = lab.tap(far)
        gateway = lab.gateway(HERE, back, back, port=filter_)
        partner = lab.gateway(THERE, partners.port, mail, port=far)
        gateway.trust(partner)
        partner.trust(gateway)
        postfix = lab.postfix(
            HERE,
            mail,
            settings={
                "myhostname": f"mail.{HERE}",
                "relayhost": f"[127.0.0.1]:{wire.port}",
                "content_filter": f"filter:[127.0.0.1]:{filter_}",
            },
            services=(BACK.format(port=back), AWAY),
            mailboxes=(BOB,),
        )
        made = Company(postfix, gateway, partner, partners, wire)
        submit(mail, Letter(BOB, ALICE, "Good morning"))
        partner.wait_for("certificate.harvested", address=BOB)
        introduce(partner, ALICE, gateway, BOB)
        yield made


def test_outbound(company: Company) -> None:
    """Bob's mail leaves Postfix signed and encrypted, once, after one pass of the filter."""
    before = len(company.wire.octets())
    letter = Letter(BOB, ALICE, "Offer", SECRET.encode() + b"\r\n")
    submit(company.postfix.port, letter)
    (mail,) = company.partners.wait_for(letter.id)
    assert text(mail.content) == SECRET + "\n"
    assert verdict(mail.content, company.partner.name) == "pass"
    hop = company.wire.octets()[before:]
    assert hop.count(b"\r\nDATA\r\n") == 1
    assert b"application/pkcs7-mime" in hop
    assert SECRET.encode() not in hop
    assert _passes(mail.content, company.gateway) == 1


def test_inbound(company: Company) -> None:
    """An encrypted mail from the world lies opened and verified in Bob's Maildir."""
    letter = Letter(ALICE, BOB, "Answer", SECRET.encode() + b"\r\n")
    before = len(company.postfix.delivered(BOB))
    submit(company.partner.port, letter)
    arrived = company.postfix.wait_for(BOB, before + 1)[-1]
    assert letter.id.encode() in arrived
    assert text(arrived) == SECRET + "\n"
    assert verdict(arrived, company.gateway.name) == "pass"
    assert _passes(arrived, company.gateway) == 1
    until(lambda: company.postfix.queued() == 0)


def test_made_by_hand(company: Company) -> None:
    """What `gatepost encrypt` makes of a file, the filter opens."""
    folder = company.partner.folder
    letter = Letter(ALICE, BOB, "By hand", SECRET.encode() + b"\r\n")
    plain, made = folder / "plain.eml", folder / "made.eml"
    plain.write_bytes(letter.octets)
    company.partner.command("encrypt", str(plain), "--for", BOB, "--output", str(made))
    assert SECRET.encode() not in made.read_bytes()
    before = len(company.postfix.delivered(BOB))
    with smtplib.SMTP("127.0.0.1", company.postfix.port) as client:
        client.sendmail(ALICE, [BOB], made.read_bytes())
    arrived = company.postfix.wait_for(BOB, before + 1)[-1]
    assert text(arrived) == SECRET + "\n"
    assert verdict(arrived, company.gateway.name) == "none"
    assert "decrypted aes256-cbc" in " ".join(str(read(arrived)["Authentication-Results"]).split())


def test_both_directions_at_once(company: Company) -> None:
    """One mail to a colleague and to the world: each gets his own treatment, once."""
    letter = Letter(BOB, f"{ALICE}, {BOB}", "To both", SECRET.encode() + b"\r\n")
    before = len(company.postfix.delivered(BOB))
    submit(company.postfix.port, letter, ALICE, BOB)
    (mail,) = company.partners.wait_for(letter.id)
    assert verdict(mail.content, company.partner.name) == "pass"
    arrived = company.postfix.wait_for(BOB, before + 1)[-1]
    assert letter.id.encode() in arrived
    assert text(arrived) == SECRET + "\n"


def test_refusal_becomes_a_bounce(company: Company) -> None:
    """The filter's 550 comes back to the author as Postfix's own notice, unfiltered."""
    before = len(company.postfix.delivered(BOB))
    submit(company.postfix.port, Letter(BOB, f"carol@{THERE}", "[secure] Offer"))
    bounce = company.postfix.wait_for(BOB, before + 1)[-1].decode()
    assert "550 5.7.1" in bounce
    assert f"carol@{THERE}" in bounce
    until(lambda: company.postfix.queued() == 0)


def _passes(octets: bytes, gateway: Gateway) -> int:
    """How often the mail went through this gateway."""
    fields = [" ".join(one.split()) for one in read(octets).get_all("Received", [])]
    return sum(f"by {gateway.name} " in one for one in fields)
