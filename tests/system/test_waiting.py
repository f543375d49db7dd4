"""Mail without certificate, through running gateways: kept, told of, and sent by itself."""

import smtplib

from tests.patience import until
from tests.peers.lab import Lab, introduce
from tests.peers.letter import Letter, read, submit
from tests.peers.postfix import free_port

US, UK = "xyz.us.example", "xyz.co.uk.example"
ALICE, BOB = f"alice@{US}", f"bob@{UK}"
POLICY = f'[[rule]]\nname = "London"\nto = "{UK}"\nencrypt = "mandatory"\nunencryptable = "wait"\n'
SECRET = b"Our client accepts the offer."


def test_sent_when_the_certificate_comes(lab: Lab) -> None:
    """Alice must send again by hand, after she has found out by herself that Bob now has one."""
    world, alices, uk_port = lab.mailbox(), lab.mailbox(), free_port()
    us = lab.gateway(US, alices.port, world.port)
    us.policy(POLICY)
    letter = Letter(ALICE, BOB, body=SECRET + b"\r\n")
    assert submit(us.port, letter) == {}
    (item,) = [one for one in us.asked("queue", "list") if one["state"] == "waiting"]
    assert "no certificate is known" in item["reason"]
    (told,) = alices.wait_for("", 1)
    assert "Waiting for a certificate" in read(told.content)["Subject"]
    assert SECRET not in told.content
    for verb in ("release", "retry"):
        us.command("queue", verb, item["id"], codes=(0, 2))
    assert "London" in us.command("mailq")
    assert world.with_id(letter.id) == []

    uk = lab.gateway(UK, free_port(), us.port, port=uk_port)
    us.trust(uk)
    introduce(uk, BOB, us, ALICE)
    (sent,) = world.wait_for(letter.id)
    assert (sent.sender, sent.recipients) == (ALICE, (BOB,))
    assert read(sent.content).get_content_type() == "application/pkcs7-mime"
    assert SECRET not in sent.content
    us.wait_for("delivery.done", to=BOB)
    until(us.queue_is_empty)
    notes = [one["name"] for one in us.asked("trace", item["queue_id"])["records"]]
    assert notes.count("message.decided") == 2
    assert notes[-1] == "delivery.done"


def test_our_own_mail_comes_round_again(lab: Lab) -> None:
    """A next hop that gives mail back has it treated twice, and its result is gone."""
    world, alices, uk_port = lab.mailbox(), lab.mailbox(), free_port()
    us = lab.gateway(US, alices.port, world.port)
    uk = lab.gateway(UK, world.port, us.port, port=uk_port)
    us.trust(uk)
    for port, letter, there in (
        (uk.port, Letter(BOB, ALICE), alices),
        (us.port, Letter(ALICE, BOB), world),
    ):
        submit(port, letter)
        (first,) = there.wait_for(letter.id)
        assert (b"smime=pass" in first.content) is (there is alices)
        assert first.content.count(b"X-Gatepost-Trace:") == 1
        with smtplib.SMTP("127.0.0.1", us.port, timeout=60) as client:
            client.sendmail(first.sender, first.recipients, first.content)
        second = there.wait_for(letter.id, 2)[1]
        assert second.content.endswith(first.content)
        assert second.content.startswith(b"Received:")
