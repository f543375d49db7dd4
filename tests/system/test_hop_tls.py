"""STARTTLS between two gateways (RFC 3207, RFC 7435): offered, required, verified, refused."""

import smtplib
import ssl

import pytest
from tests.peers.lab import Lab
from tests.peers.letter import Letter, submit, text, verdict
from tests.peers.pair import ALICE, BOB, UK, pair
from tests.peers.postfix import free_port

REQUIRE = {'tls = "offer"': 'tls = "require"'}


def test_offered_is_taken(lab: Lab) -> None:
    """As init sets it up, every hop between gateways is under TLS without anybody's doing."""
    world = pair(lab, hop_tls="opportunistic")
    letter = Letter(ALICE, BOB, body=b"The price is 2.4 million.\r\n")
    mail = world.carried(letter)
    assert text(mail.content) == "The price is 2.4 million.\n"
    assert verdict(mail.content, world.uk.name) == "pass"
    done = world.us.wait_for("delivery.done", to=BOB)[-1]
    assert done["tls"].startswith("TLSv1.3 ")
    received = " ".join(mail.content.partition(b"\r\n\r\n")[0].decode().split())
    assert f"by gatepost.{UK} with ESMTPS (TLSv1.3 " in received
    octets = world.wire.octets()
    assert b"STARTTLS" in octets
    assert b"MAIL FROM" not in octets
    assert letter.id.encode() not in octets


def test_required_by_both(lab: Lab) -> None:
    """Who asks for TLS gets it from a gateway that takes nothing else; clear text is turned away."""
    bobs = lab.mailbox()
    uk = lab.gateway(UK, bobs.port, free_port(), edits=REQUIRE)
    us = lab.gateway("xyz.us.example", free_port(), uk.port, hop_tls="required")
    letter = Letter(ALICE, BOB)
    submit(us.port, letter)
    bobs.wait_for(letter.id)
    assert us.wait_for("delivery.done", to=BOB)[-1]["tls"].startswith("TLSv1.3 ")
    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        submit(uk.port, Letter(ALICE, BOB))
    assert refused.value.smtp_code == 530
    with smtplib.SMTP("127.0.0.1", uk.port) as client:
        client.ehlo("mail.letter.test")
        assert client.has_extn("starttls")
        context = ssl.create_default_context(cafile=str(uk.folder / "tls-certificate.pem"))
        context.check_hostname = False
        client.starttls(context=context)
        client.ehlo("mail.letter.test")
        assert not client.has_extn("starttls")


def test_verified(lab: Lab) -> None:
    """Only the server that proves its name gets the mail; for an impostor it waits."""
    bobs = lab.mailbox()
    uk = lab.gateway(UK, bobs.port, free_port())
    us = lab.planned("xyz.us.example", free_port(), uk.port, hop_tls="verified")
    proof = f'tls_ca = "{uk.folder / "tls-certificate.pem"}", tls_name = '
    us.edit({'tls = "verified"': f'tls = "verified", {proof}"{uk.name}"'})
    us.start()
    letter = Letter(ALICE, BOB)
    submit(us.port, letter)
    bobs.wait_for(letter.id)
    us.stop()
    us.edit({f'{proof}"{uk.name}"': f'{proof}"gatepost.impostor.example"'})
    us.start()
    later = Letter(ALICE, BOB)
    submit(us.port, later)
    assert us.wait_for("delivery.retry", to=BOB)[-1]["dsn"].startswith("4.7.")
    assert bobs.with_id(later.id) == []
    assert [one["state"] for one in us.asked("queue", "list")] == ["active"]


def test_required_of_a_server_without(lab: Lab) -> None:
    """A next hop that stopped offering TLS (or somebody who strips it) gets nothing."""
    bobs = lab.mailbox()
    us = lab.gateway("xyz.us.example", free_port(), bobs.port, hop_tls="required")
    letter = Letter(ALICE, BOB)
    submit(us.port, letter)
    us.wait_for("delivery.retry", to=BOB)
    assert bobs.mails == []
