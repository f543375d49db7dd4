"""Opening arriving mail, when something inside is what no parser has ever seen."""

import base64
from dataclasses import replace

import pytest
from tests.world import (
    ANCHORS,
    NOW,
    OURS,
    THEIRS,
    World,
    arriving,
    drive,
    facts,
    incoming,
    only,
    outgoing,
    person,
    told,
)

from gatepost.cms import ber
from gatepost.flow import inbound, outbound, peel
from gatepost.flow.fact import SignersOf
from gatepost.flow.verdict import Continue
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mail.message import Message
from gatepost.smime.report import SignatureReport, Verdict
from gatepost.smime.sign import sign

BOB, ALICE = f"bob@{THEIRS}", f"alice@{OURS}"
MAIL = f"From: Bob <{BOB}>\nTo: {ALICE}\nSubject: Figures\n\nThe secret figures.\n"


def sent() -> Message:
    """Bob's mail, signed and encrypted, as it arrives."""
    known = facts(modern=[ALICE], signers=[BOB])
    world = World.under("", known, domains=frozenset({THEIRS}), hostname="gate.partner.example")
    return arriving(only(world.drive(outgoing(MAIL, ALICE, sender=BOB), outbound.STAGES)))


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), RecursionError()])
@pytest.mark.parametrize(
    ("broken", "reasons"),
    [
        ("decrypt", ["no key of the recipient opens it unchanged"]),
        ("verify", ["it could not be read"]),
    ],
)
def test_a_parser_that_fails(
    monkeypatch: pytest.MonkeyPatch, broken: str, reasons: list[str], error: Exception
) -> None:
    """451 instead of 250 tells a stranger what only our key uncovers, and he sends it again."""

    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(peel, broken, failing)
    known = facts(openers=[ALICE], anchors={THEIRS: ANCHORS})
    outcome = only(drive(sent(), inbound.STAGES, known))
    assert outcome.verdict == Continue()
    assert told([outcome])[ALICE].layers[-1]["reasons"] == reasons


def bare() -> Message:
    """Bob's signed mail without any certificate in it (RFC 5652 section 5.1: they MAY be absent)."""
    message = incoming(MAIL, ALICE)
    signer = replace(person(BOB).signer, chain=())
    header, body = sign(
        message.header, message.body, signer, now=NOW, names=iter("abc").__next__, form="opaque"
    )
    encoded = base64.b64decode(join(body))
    assert person(BOB).certificate.der in encoded
    shorter = without_certificates(encoded)
    return replace(message, header=header, body=Octets(base64.encodebytes(shorter)))


def without_certificates(encoded: bytes) -> bytes:
    """A SignedData in BER: its sequences of indefinite length, and no certificates."""
    found = ber.parse(encoded).sequence()
    body = found[1].children()[0].sequence()
    kept = b"".join(one.raw for one in body if one.tag != 0xA0)
    inner = b"\x30\x80" + kept + b"\0\0"
    return b"\x30\x80" + found[0].raw + b"\xa0\x80" + inner + b"\0\0" + b"\0\0"


@pytest.mark.parametrize(
    ("filed", "verdict"),
    [((BOB,), Verdict.VALID), ((), Verdict.UNSUPPORTED), ((f"eve@{THEIRS}",), Verdict.UNSUPPORTED)],
)
def test_a_signer_whose_certificate_is_known(filed: tuple[str, ...], verdict: Verdict) -> None:
    """Senders who leave out their certificate, as S/MIME allows, would look like forgers."""
    bob = person(BOB)
    known = facts(openers=[ALICE], anchors={THEIRS: ANCHORS})
    known[SignersOf(Mailbox.parse(BOB))] = tuple(
        each for one in filed for each in (person(one).certificate, *bob.chain)
    )
    world = World.under("", known)
    outcome = only(world.drive(bare(), inbound.STAGES))
    (found,) = [one for one in outcome.message.findings if isinstance(one, SignatureReport)]
    assert found.verdict is verdict
    assert SignersOf(Mailbox.parse(BOB)) in world.asked


def test_the_directory_is_not_asked_for_certificates_that_came_along() -> None:
    """Every signed mail would cost a look-up more."""
    world = World.under("", facts(openers=[ALICE], anchors={THEIRS: ANCHORS}))
    world.drive(sent(), inbound.STAGES)
    assert not any(isinstance(one, SignersOf) for one in world.asked)
