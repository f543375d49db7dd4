"""Form and algorithms for each correspondent: the best that is read, never below the floor."""

import pytest
from tests.world import (
    NOW,
    announcing,
    arriving,
    drive,
    facts,
    octets,
    only,
    outgoing,
    person,
    told,
)

from gatepost.flow import outbound
from gatepost.flow.decision import Decision, Done
from gatepost.flow.explain import render
from gatepost.flow.fact import CertificateFor
from gatepost.flow.verdict import Reject
from gatepost.mail.address import Mailbox
from gatepost.mime import headers
from gatepost.pki.choose import Choice
from gatepost.smime.correspondent import HEADER_PROTECTION, OPAQUE, Correspondent

ALICE, BOB, CAROL = "alice@xyz.example", "bob@partner.example", "carol@partner.example"
MAIL = f"""From: {ALICE}
To: {BOB}, {CAROL}
Subject: Figures

The figures.
"""


def using(*names: str) -> Correspondent:
    """A correspondent who was seen to write so."""
    return Correspondent(used=dict.fromkeys(names, NOW), seen_at=NOW)


def sent(policy: str = "", **known: Correspondent) -> Decision:
    """What Bob and Carol get in one message, being known like this; the decision about Bob."""
    people = {"bob": BOB, "carol": CAROL}
    world = facts(
        readers=(BOB, CAROL),
        correspondents={people[name]: one for name, one in known.items()},
        signers=[ALICE],
    )
    text = f"[defaults]\n{policy}\n"
    return told(drive(outgoing(MAIL, BOB, CAROL), outbound.STAGES, world, text))[BOB]


@pytest.mark.parametrize(
    ("announced", "floor", "cipher"),
    [
        (("aes256-gcm", "aes128-cbc"), "", "aes256-gcm"),
        (("aes128-gcm",), "", "aes128-gcm"),
        (("aes128-cbc",), "", "aes128-cbc"),
        (("aes128-cbc",), "aes256-cbc", "aes256-cbc"),
        (("aes128-cbc", "aes128-gcm"), "aes256-cbc", "aes256-cbc"),
        (("aes256-cbc",), "aes128-gcm", "aes128-gcm"),
        (("aes128-gcm",), "aes256-gcm", "aes256-gcm"),
        (("3des-cbc",), "", "aes256-cbc"),
        ((), "", "aes256-cbc"),
        ((), "aes128-gcm", "aes128-gcm"),
    ],
)
def test_the_best_cipher_not_below_the_floor(
    announced: tuple[str, ...], floor: str, cipher: str
) -> None:
    """One old phone among the recipients brings everybody's encryption down."""
    policy = f'least_cipher = "{floor}"' if floor else ""
    one = announcing(*announced)
    assert sent(policy, bob=one, carol=one).cipher == cipher


def test_why_is_told() -> None:
    """An administrator could not see why two partners get different mail."""
    modern = announcing("aes256-gcm", "rsa-oaep")
    decision = sent(bob=modern, carol=modern)
    assert f"aes256-gcm: {BOB} announced it on 2026-05-01, {CAROL} announced it on 2026-05-01" in (
        decision.because
    )
    assert any(line.startswith("   because aes256-gcm: ") for line in render(decision).splitlines())
    assert Decision.from_data(decision.as_data()) == decision


def test_who_stands_in_the_way_is_told() -> None:
    """Nobody would know whose software to renew."""
    decision = sent(bob=announcing("aes256-gcm"))
    assert f"aes256-cbc: aes256-gcm is not known to be read by {CAROL}" in decision.because


@pytest.mark.parametrize("policy", ['cipher = "aes256-gcm"', 'least_cipher = "aes256-gcm"'])
def test_the_policy_wins_and_says_against_whom(policy: str) -> None:
    """A recipient cannot open his mail, and nobody finds the reason in the record."""
    decision = sent(policy, bob=announcing("aes128-cbc"))
    assert decision.cipher == "aes256-gcm"
    assert decision.because == (
        f"aes256-gcm: the policy wants no less, though {BOB} announced only aes128-cbc",
    )


def test_the_signature_is_as_both_sign() -> None:
    """PSS would never be used by itself, however many partners use it."""
    assert sent(bob=using("rsa-pss")).signature == "rsa-pkcs1 sha256"
    both = using("rsa-pss")
    assert sent(bob=both, carol=both).signature == "rsa-pss sha256"
    assert sent('signature = "rsa-pkcs1"', bob=both, carol=both).signature == "rsa-pkcs1 sha256"
    assert sent('digest = "sha512"', bob=both, carol=both).signature == "rsa-pss sha512"


def test_what_seems_to_be_his_encryption_counts_less_than_his_word() -> None:
    """Anybody can put signed mail into new encryption, and so choose what we answer in."""
    word = announcing("aes256-cbc")
    both = Correspondent(word.announced, word.announced_at, {"aes256-gcm": NOW}, NOW)
    assert sent(bob=both, carol=both).cipher == "aes256-cbc"
    only_used = using("aes256-gcm")
    assert sent(bob=only_used, carol=only_used).cipher == "aes256-gcm"


def test_opaque_for_those_who_sign_so() -> None:
    """Signatures to them break where their relays alter text."""
    opaque = using(OPAQUE)
    assert sent(bob=opaque).form == "clear"
    assert sent(bob=opaque, carol=opaque).form == "opaque"
    assert sent('encrypt = "never"', bob=opaque, carol=opaque).form == "clear"
    assert sent('form = "clear"', bob=opaque, carol=opaque).form == "clear"


@pytest.mark.parametrize(
    ("policy", "reads", "subject"),
    [
        ("", True, "[...]"),
        ("", False, "Figures"),
        ('header_protection = "baseline"', False, "[...]"),
        ('header_protection = "clear"', True, "Figures"),
        ('encrypt = "never"', True, "Figures"),
    ],
)
def test_the_subject_is_hidden_from_the_way_where_it_can_be_read(
    policy: str, reads: bool, subject: str
) -> None:
    """Old software would show every mail as [...], or every relay reads the Subject."""
    one = using(HEADER_PROTECTION) if reads else Correspondent()
    world = facts(readers=[BOB], correspondents={BOB: one}, signers=[ALICE])
    message = outgoing(MAIL, BOB)
    outcome = only(drive(message, outbound.STAGES, world, f"[defaults]\n{policy}\n"))
    found = headers.first(arriving(outcome).header, "Subject")
    assert found is not None
    assert found.text == subject
    assert b"The figures" not in octets(outcome) or "never" in policy


EDI = '[[rule]]\nname = "Grid"\nto = "partner.example"\nprofile = "edi-energy"\n'


def test_a_market_partner_gets_what_the_market_prescribes() -> None:
    """A partner's gateway refuses PKCS #1 v1.5, and metering data is late."""
    world = facts(readers=[BOB], signers=[ALICE])
    outcome = only(drive(outgoing(MAIL, BOB), outbound.STAGES, world, EDI))
    decision = told([outcome])[BOB]
    assert decision.signature == "rsa-pss sha256"
    assert (decision.cipher, decision.key_transport) == ("aes256-cbc", "rsa-oaep")
    assert headers.first(outcome.message.header, "Subject") is not None
    assert b"hp=" not in octets(outcome)


def test_policy_may_want_a_certificate_for_the_address() -> None:
    """The market's rules ask for it, and a domain's key would open it to everybody there."""
    bob = Mailbox.parse(BOB)
    world = facts(readers=[BOB], signers=[ALICE])
    world[CertificateFor(bob)] = Choice(person(BOB).certificate, domain=True)
    outcome = only(drive(outgoing(MAIL, BOB), outbound.STAGES, world, EDI))
    assert isinstance(outcome.verdict, Reject)
    assert "it is for the whole domain" in str(outcome.verdict.reply)
    softer = EDI + 'encrypt = "when-possible"\n'
    decision = told(drive(outgoing(MAIL, BOB), outbound.STAGES, world, softer))[BOB]
    assert decision.done is Done.SIGNED
    assert "policy wants one for the address" in decision.reason
    taken = told(drive(outgoing(MAIL, BOB), outbound.STAGES, world, EDI + 'certificate = "any"\n'))
    assert taken[BOB].done is Done.SIGNED_ENCRYPTED
