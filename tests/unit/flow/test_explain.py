"""Decisions survive as data and read like sentences."""

import json

from tests.world import (
    World,
    arriving,
    choice,
    drive,
    facts,
    outgoing,
    person,
    told,
)

from gatepost.flow import inbound
from gatepost.flow.decision import Decision
from gatepost.flow.explain import render
from gatepost.flow.outbound import STAGES

MAIL = "From: alice@xyz.example\nTo: bob@partner.example\nSubject: Figures\n\nThe figures.\n"
BOB = "bob@partner.example"
POLICY = """
[[rule]]
name = "Partners"
to = "partner.example"
encrypt = "mandatory"
"""


def test_tells_what_was_done_with_what_and_why() -> None:
    """Nobody can say why this mail was, or was not, encrypted."""
    known = facts(modern=[BOB], signers=["alice@xyz.example"])
    decision = told(drive(outgoing(MAIL, BOB), STAGES, known, POLICY))[BOB]
    bob, alice = (
        person(one).certificate.fingerprint[:8].upper() for one in (BOB, "alice@xyz.example")
    )
    assert render(decision).splitlines() == [
        f'{BOB:<30} → SIGN + ENCRYPT     (rule "Partners", line 2)',
        f"   ✔ certificate  {bob}…  {BOB}  valid to 2029-01-01",
        "   content aes256-gcm  key-wrap rsa-oaep",
        (
            f"   clear signature rsa-pkcs1 sha256  signer {alice}…  alice@xyz.example"
            "  valid to 2029-01-01"
        ),
        f"   because aes256-gcm: {BOB} announced it on 2026-05-01",
        f"   because rsa-oaep: {BOB} announced it on 2026-05-01",
    ]


def test_tells_what_was_rejected() -> None:
    """An expired certificate is reported as no certificate."""
    known = facts(readers={BOB: choice(BOB, rejected="expired 2026-02-11")})
    lines = render(told(drive(outgoing(MAIL, BOB), STAGES, known, POLICY))[BOB]).splitlines()
    assert "REFUSE" in lines[0]
    assert "no usable certificate is known" in lines[1]
    assert lines[2].endswith("… expired 2026-02-11")


def test_decisions_survive_as_json() -> None:
    """The trace of yesterday's mail cannot be shown any more."""
    known = facts(
        readers={BOB: choice(BOB, rejected="expired")},
        signers=["alice@xyz.example"],
    )
    sent = drive(outgoing(MAIL, BOB), STAGES, known)
    world = World.under("", domains=frozenset({"partner.example"}))
    received = world.drive(arriving(sent[0]), inbound.STAGES)
    for decision in (*told(sent).values(), *told(received).values()):
        data = json.loads(json.dumps(decision.as_data()))
        assert Decision.from_data(data) == decision
        assert render(Decision.from_data(data)) == render(decision)


def test_tells_the_layers_of_what_arrived() -> None:
    """Nobody can say what the gateway found in a mail."""
    known = facts(modern=[BOB], signers=["alice@xyz.example"])
    sent = drive(outgoing(MAIL, BOB), STAGES, known)
    world = World.under("", facts(openers=[BOB]), domains=frozenset({"partner.example"}))
    lines = render(told(world.drive(arriving(sent[0]), inbound.STAGES))[BOB]).splitlines()
    assert lines[0].split() == [BOB, "→", "DELIVER"]
    assert lines[1] == "   1 authenveloped-data  aes256-gcm, proves itself unchanged"
    assert lines[2].startswith("   2 multipart-signed  valid-untrusted: alice@xyz.example (")
