"""RFC 3461 through Postfix → Gatepost → Postfix: what an author wants to be told arrives.

Postfix behind Gatepost writes the reports, from what it was told at MAIL and RCPT; one that
knows no DSN is reported for by Gatepost.
"""

import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage, Message
from typing import cast

import pytest
from tests.conftest import peer
from tests.peers.gateway import Gateway
from tests.peers.lab import Lab
from tests.peers.letter import Letter, read
from tests.peers.postfix import Postfix, free_port

US, UK, OLD, LATE = "xyz.us.example", "xyz.co.uk.example", "old.example", "late.example"
ALICE, BOB, CAROL = f"alice@{US}", f"bob@{UK}", f"carol@{OLD}"
EVE = f"eve@{UK}"  # our server reaches her through the gateway's LMTP listener
PLAIN = '[defaults]\nsign = "never"\nencrypt = "never"\n'
SECRET = b"Our client accepts the offer."
pytestmark = pytest.mark.peer("postfix")


@dataclass
class Chain:
    """Alice's server, our gateway, a server of the world, and one that knows no DSN."""

    ours: Postfix
    gateway: Gateway
    theirs: Postfix
    old: Postfix
    seen: int = 0

    def send(self, port: int, to: str, *, mail: tuple[str, ...], rcpt: tuple[str, ...]) -> Letter:
        """Submit one mail with these parameters."""
        letter = Letter(ALICE, to)
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
            client.ehlo("mail.letter.test")
            client.sendmail(ALICE, [to], letter.octets, mail, rcpt)
        return letter

    def report(self) -> tuple[Message, Message, EmailMessage]:
        """The next report to Alice: about the mail, about its recipient, and all of it."""
        self.seen += 1
        found = read(self.ours.wait_for(ALICE, self.seen)[self.seen - 1])
        status = [
            one for one in found.walk() if one.get_content_type() == "message/delivery-status"
        ]
        about, recipient = cast("list[Message]", status[0].get_payload())
        return about, recipient, found


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    """The chain; mail to late.example is accepted by their server and bounces there."""
    peer("postfix")
    with Lab() as lab:
        a, b, c, port, lmtp = (free_port() for _ in range(5))
        route = (
            f'[[route]]\ndomain = "{OLD}"\nhost = "127.0.0.1"\nport = {c}\ntls = "none"\n\n[vault]'
        )
        listener = f'[[listener]]\nname = "lmtp"\nprotocol = "lmtp"\nbind = "127.0.0.1:{lmtp}"'
        listener += '\ndirection = "outbound"\ntrusted = ["127.0.0.0/8"]\n\n'
        gateway = lab.gateway(US, a, b, port=port, edits={"[vault]": listener + route})
        gateway.policy(PLAIN)
        to_us = {"relayhost": f"[127.0.0.1]:{port}"}
        by_lmtp = {"transport_maps": f"inline:{{{EVE}=lmtp:inet:127.0.0.1:{lmtp}}}"}
        theirs = {
            "relay_domains": LATE,
            "transport_maps": f"inline:{{{LATE}=smtp:[127.0.0.1]:{c}}}",
        }
        refusing = f"check_recipient_access inline:{{{LATE}=REJECT}}, permit"
        old = {"smtpd_discard_ehlo_keywords": "dsn", "smtpd_recipient_restrictions": refusing}
        yield Chain(
            lab.postfix(
                "ours",
                a,
                settings={**to_us, **by_lmtp, "myhostname": f"mail.{US}"},
                mailboxes=(ALICE,),
            ),
            gateway,
            lab.postfix("theirs", b, settings={**to_us, **theirs}, mailboxes=(BOB, EVE)),
            lab.postfix("old", c, settings={**to_us, **old}, mailboxes=(CAROL,)),
        )


@pytest.mark.parametrize("first", ["postfix", "gatepost"])
def test_success_is_reported_by_the_last_server(chain: Chain, first: str) -> None:
    """NOTIFY, ENVID or ORCPT is lost: the author waits in vain, or cannot tell for what."""
    port = chain.ours.port if first == "postfix" else chain.gateway.port
    rcpt = ("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Bob+2BSales@uk.example")
    chain.send(port, BOB, mail=("RET=HDRS", "ENVID=QQ+2B314159"), rcpt=rcpt)
    about, recipient, _ = chain.report()
    assert about["Reporting-MTA"] == "dns; mail.test"
    assert about["Original-Envelope-Id"] == "QQ+314159"
    assert recipient["Action"] == "delivered"
    assert recipient["Original-Recipient"] in (
        "rfc822;Bob+Sales@uk.example",
        "rfc822; Bob+Sales@uk.example",
    )


def test_wishes_through_lmtp(chain: Chain) -> None:
    """Postfix's LMTP client is told of DSN and leaves the report to us, who lose the wish."""
    rcpt = ("NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;Eve+2BSales@uk.example")
    letter = chain.send(chain.ours.port, EVE, mail=("RET=HDRS", "ENVID=BY-LMTP"), rcpt=rcpt)
    about, recipient, whole = chain.report()
    assert about["Reporting-MTA"] == "dns; mail.test"
    assert about["Original-Envelope-Id"] == "BY-LMTP"
    assert recipient["Action"] == "delivered"
    assert recipient["Original-Recipient"].replace(" ", "") == "rfc822;Eve+Sales@uk.example"
    assert SECRET not in whole.as_bytes()
    (accepted,) = [
        one for one in chain.gateway.events("message.accepted") if one["listener"] == "lmtp"
    ]
    assert accepted["sender"] == ALICE
    assert letter.id.encode() in chain.theirs.wait_for(EVE, 1)[0]


def test_success_at_a_server_without_dsn(chain: Chain) -> None:
    """Nobody tells the author that nobody will tell."""
    rcpt = ("NOTIFY=SUCCESS", "ORCPT=rfc822;carol@old.example")
    chain.send(chain.ours.port, CAROL, mail=("ENVID=QQ2",), rcpt=rcpt)
    about, recipient, whole = chain.report()
    assert about["Reporting-MTA"] == f"dns; {chain.gateway.name}"
    assert about["Original-Envelope-Id"] == "QQ2"
    assert recipient["Action"] == "relayed"
    assert recipient["Status"].startswith("2.")
    assert recipient["Original-Recipient"] == "rfc822; carol@old.example"
    assert SECRET not in whole.as_bytes()


@pytest.mark.parametrize("ret", ["FULL", "HDRS"])
def test_ret_reaches_the_server_that_bounces(chain: Chain, ret: str) -> None:
    """Who wanted only the header gets the text back, or the other way round."""
    chain.send(chain.ours.port, f"dora@{LATE}", mail=(f"RET={ret}",), rcpt=("NOTIFY=FAILURE",))
    about, recipient, whole = chain.report()
    assert about["Reporting-MTA"] == "dns; mail.test"
    assert recipient["Action"] == "failed"
    assert (SECRET in whole.as_bytes()) is (ret == "FULL")


def test_never_means_never(chain: Chain) -> None:
    """A failure is reported to whoever asked for none, by us or behind us."""
    for to in (f"dora@{LATE}", f"nobody@{UK}"):
        chain.send(chain.ours.port, to, mail=(), rcpt=("NOTIFY=NEVER",))
    chain.gateway.wait_for("delivery.failed", to=f"nobody@{UK}")
    # Whatever comes next is the first report: those before would have come before it.
    chain.send(chain.ours.port, f"nobody@{UK}", mail=("ENVID=LAST",), rcpt=("NOTIFY=FAILURE",))
    about, recipient, _ = chain.report()
    assert about["Original-Envelope-Id"] == "LAST"
    assert about["Reporting-MTA"] == f"dns; {chain.gateway.name}"
    assert recipient["Status"] == "5.1.1"


def test_chunks_carry_the_wishes_too(chain: Chain) -> None:
    """A server that sends by BDAT gets no reports."""
    letter = Letter(ALICE, BOB)
    with smtplib.SMTP("127.0.0.1", chain.gateway.port, timeout=60) as client:
        client.ehlo("mail.letter.test")
        for command in (
            f"MAIL FROM:<{ALICE}> RET=FULL ENVID=CHUNKS",
            f"RCPT TO:<{BOB}> NOTIFY=SUCCESS ORCPT=rfc822;{BOB}",
        ):
            assert client.docmd(command)[0] == 250
        client.send(b"BDAT %d LAST\r\n" % len(letter.octets) + letter.octets)
        assert client.getreply()[0] == 250
    about, recipient, _ = chain.report()
    assert about["Original-Envelope-Id"] == "CHUNKS"
    assert recipient["Action"] == "delivered"
