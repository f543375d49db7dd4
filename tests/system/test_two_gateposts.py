"""Alice and Bob, each behind a Gatepost of his own, over real sockets."""

import hashlib
import smtplib
from collections.abc import Iterator
from random import Random

import pytest
from tests.peers.lab import Lab, introduce
from tests.peers.letter import Letter, read, submit, text, verdict
from tests.peers.pair import ALICE, BOB, UK, US, Pair, pair


@pytest.fixture(scope="module")
def world() -> Iterator[Pair]:
    """One pair for the tests of this file that change nothing."""
    with Lab() as lab:
        yield pair(lab)


def test_both_ways_encrypted_and_verified(world: Pair) -> None:
    """The founding story, each way."""
    there = Letter(ALICE, BOB, body=b"The price is 2.4 million.\r\n")
    mail = world.carried(there)
    assert text(mail.content) == "The price is 2.4 million.\n"
    assert verdict(mail.content, world.uk.name) == "pass"
    assert b"2.4 million" not in world.wire.octets()
    back = Letter(BOB, ALICE, "Re: The Henderson file", b"Understood.\r\n")
    submit(world.uk.port, back)
    answer = world.alices.wait_for(back.id)[0]
    assert text(answer.content) == "Understood.\n"
    assert verdict(answer.content, world.us.name) == "pass"
    assert "[encrypted]" in read(answer.content)["Subject"]


def test_large_attachment(world: Pair) -> None:
    """A contract of 25 MiB arrives bit for bit, and never lies on the disk in clear."""
    document = Random(7).randbytes(25 << 20)
    letter = _with_attachment(document)
    mail = world.carried(letter)
    attachment = next(iter(read(mail.content).iter_attachments()))
    assert hashlib.sha256(attachment.get_content()).digest() == hashlib.sha256(document).digest()
    assert verdict(mail.content, world.uk.name) == "pass"


def test_eight_bit_text(world: Pair) -> None:
    """Umlauts in body and subject survive the 7-bit form that signing needs."""
    said = "Grüße aus Köln — naïve café, 価格は秘密です\r\n"
    letter = Letter(
        ALICE,
        BOB,
        "=?utf-8?q?Gr=C3=BC=C3=9Fe?= =?utf-8?b?IOS+oeagvA==?=",
        said.encode(),
        (
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Transfer-Encoding: 8bit",
        ),
    )
    mail = world.carried(letter, options=("BODY=8BITMIME",))
    arrived = read(mail.content)
    assert text(mail.content) == said.replace("\r\n", "\n")
    assert str(arrived["Subject"]).endswith("Grüße 価格")
    assert verdict(mail.content, world.uk.name) == "pass"


def test_empty_body(world: Pair) -> None:
    """A mail with only a subject arrives with only a subject."""
    mail = world.carried(Letter(ALICE, BOB, "Call me", b""))
    assert text(mail.content).strip() == ""
    assert verdict(mail.content, world.uk.name) == "pass"


def test_alternative_with_attachment(world: Pair) -> None:
    """What Outlook writes: text and HTML alternatives beside a file, with every part equal."""
    letter = _with_attachment(b"%PDF-1.7 nothing", html=True)
    mail = world.carried(letter)
    arrived = read(mail.content)
    assert text(mail.content) == "See the file.\n"
    html = arrived.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>See the <b>file</b>.</p>"
    assert next(iter(arrived.iter_attachments())).get_content() == b"%PDF-1.7 nothing"
    assert letter.body.rstrip() in mail.content  # not one octet of the parts was rewritten


def test_tag_forces_encryption(world: Pair) -> None:
    """[secure] is the author's word: no certificate, no mail; and it is gone on arrival."""
    with pytest.raises(smtplib.SMTPResponseException) as refused:
        submit(world.us.port, Letter(ALICE, f"carol@{UK}", "[secure] The witness"))
    assert refused.value.smtp_code == 550
    said = str(refused.value.smtp_error)
    assert "5.7.1" in said
    assert f"carol@{UK}" in said
    mail = world.carried(Letter(ALICE, BOB, "[secure] The witness"))
    assert b"[secure]" not in mail.content
    assert "The witness" in read(mail.content)["Subject"]
    assert verdict(mail.content, world.uk.name) == "pass"


def test_blind_copy(world: Pair) -> None:
    """Nobody learns of a blind copy: not by header, recipient list or RecipientInfo."""
    dora = f"dora@{UK}"
    introduce(world.uk, dora, world.us, ALICE)
    letter = Letter(ALICE, BOB, "To Bob alone", headers=(f"Bcc: {dora}",))
    before = len(world.wire.octets())
    assert submit(world.us.port, letter, BOB, dora) == {}
    mails = world.bobs.wait_for(letter.id, 2)
    assert sorted(one.recipients for one in mails) == [(BOB,), (dora,)]
    for mail in mails:
        assert read(mail.content)["Bcc"] is None
        assert verdict(mail.content, world.uk.name) == "pass"
    bobs = next(one for one in mails if one.recipients == (BOB,))
    assert b"dora" not in bobs.content
    hop = world.wire.octets()[before:]
    assert hop.count(b"\r\nDATA\r\n") == 2
    assert b"Bcc:" not in hop
    found = world.us.events("message.accepted", sender=ALICE)[-1]
    plans = world.us.asked("trace", found["queue_id"])
    shown = [one["data"] for one in plans["records"] if one["name"] == "message.decided"]
    assert {one["recipient"] for one in shown} == {BOB, dora}


def test_null_sender(world: Pair) -> None:
    """A delivery report passes, unsigned: a signature by nobody would be a lie."""
    letter = Letter(f"MAILER-DAEMON@{US}", f"carol@{UK}", "Undelivered", b"Sorry.\r\n")
    mail = world.carried(letter, f"carol@{UK}", sender="")
    assert mail.sender == ""
    assert text(mail.content) == "Sorry.\n"
    assert verdict(mail.content, world.uk.name) == "none"


def _with_attachment(document: bytes, *, html: bool = False) -> Letter:
    from email.message import EmailMessage  # noqa: PLC0415
    from email.policy import SMTP  # noqa: PLC0415

    message = EmailMessage(policy=SMTP)
    message.set_content("See the file.\n")
    if html:
        message.add_alternative("<p>See the <b>file</b>.</p>\n", subtype="html")
    message.add_attachment(document, maintype="application", subtype="pdf", filename="contract.pdf")
    header, _, body = message.as_bytes().partition(b"\r\n\r\n")
    lines = header.replace(b"\r\n\t", b" ").replace(b"\r\n ", b" ").decode().split("\r\n")
    return Letter(ALICE, BOB, body=body, headers=tuple(lines))
