"""Mail signed in the name of a whole domain (RFC 3183), leaving and arriving."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.pki_builder import company_root
from tests.world import (
    ANCHORS,
    NOW,
    OURS,
    THEIRS,
    World,
    arriving,
    facts,
    incoming,
    octets,
    only,
    person,
    told,
)
from tests.world import outgoing as leaving

from gatepost.flow import inbound, outbound
from gatepost.flow.decision import Done
from gatepost.flow.fact import AnchorsFor, SignerFor
from gatepost.flow.harvest import learned
from gatepost.flow.verdict import Defer
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.mail.message import Message
from gatepost.pki.validate import Anchors
from gatepost.policy.compose import compose
from gatepost.policy.parse import parse
from gatepost.smime.report import SignatureReport, Verdict
from gatepost.smime.sign import sign

ALICE, BOB = f"alice@{OURS}", f"bob@{THEIRS}"
SIGNER, THEIR_SIGNER = f"domain-signing-authority@{OURS}", f"domain-signing-authority@{THEIRS}"
MAIL = f"From: {ALICE}\nTo: {BOB}\nSubject: s\n\nThe price is 7.\n"
THEIR_MAIL = f"From: {BOB}\nTo: {ALICE}\nSubject: s\n\nThe price is 8.\n"
OWN = replace(ANCHORS, own=frozenset({company_root().certificate}))
POLICY = '[[rule]]\nname = "them"\nto = "partner.example"\nsign = "domain"\n'


def test_signed_with_the_domains_key() -> None:
    """A company that signs as a company would need a certificate for each of its people."""
    world = World.under(POLICY, facts(signers=[SIGNER, ALICE]))
    outcome = only(world.drive(leaving(MAIL, BOB), outbound.STAGES))
    decision = told([outcome])[BOB]
    assert decision.done is Done.SIGNED
    assert decision.signer is not None
    assert decision.signer.emails == (SIGNER,)
    assert SignerFor(Mailbox.parse(ALICE)) not in world.asked
    assert compose(parse(POLICY)) == POLICY


def test_without_the_domains_key() -> None:
    """Mail would go out unsigned, or under the author's own name against the policy."""
    world = World.under(POLICY, facts(signers=[ALICE]))
    outcome = only(world.drive(leaving(MAIL, BOB), outbound.STAGES))
    assert isinstance(outcome.verdict, Defer)
    assert SIGNER in outcome.verdict.reply.text


def test_recipients_of_both_kinds_get_each_their_own() -> None:
    """Somebody who wants the author's own signature would get the company's."""
    world = World.under(POLICY, facts(signers=[SIGNER, ALICE]))
    carol = "carol@other.example"
    outcomes = world.drive(leaving(MAIL, BOB, carol), outbound.STAGES)
    signers = {who: one.signer.emails for who, one in told(outcomes).items() if one.signer}
    assert signers == {BOB: (SIGNER,), carol: (ALICE,)}


def signed(mail: str, signer: str) -> Message:
    message = incoming(mail, ALICE)
    header, body = sign(
        message.header, message.body, person(signer).signer, now=NOW, names=iter("abc").__next__
    )
    return replace(message, header=header, body=Octets(join(body)))


def found(message: Message, anchors: Anchors) -> SignatureReport:
    world = World.under("", {AnchorsFor(THEIRS): anchors})
    outcome = only(world.drive(message, inbound.STAGES))
    assert not any(one.certificates for one in learned(outcome.message.findings))
    [report] = [one for one in outcome.message.findings if isinstance(one, SignatureReport)]
    if report.verdict is Verdict.VALID:
        assert b"smime=pass" in octets(outcome)
    return report


def test_counts_as_the_authors_and_is_told() -> None:
    """Mail of a partner who signs as a company would look like a forgery; or like Bob's own."""
    report = found(signed(THEIR_MAIL, THEIR_SIGNER), OWN)
    assert (report.verdict, report.matches) == (Verdict.VALID, True)
    assert report.reasons == (f"signed in the name of {THEIRS}, not by {BOB}",)


@pytest.mark.parametrize(
    ("mail", "signer", "anchors"),
    [
        (THEIR_MAIL, THEIR_SIGNER, ANCHORS),  # anybody may have that mailbox at a public CA
        (THEIR_MAIL, THEIR_SIGNER, Anchors(frozenset())),
        (THEIR_MAIL, f"domain-signing-authority@sub.{THEIRS}", OWN),
        (THEIR_MAIL, f"domain-confidentiality-authority@{THEIRS}", OWN),
        (THEIR_MAIL, f"eve@{THEIRS}", OWN),
        (THEIR_MAIL, SIGNER, OWN),
        (THEIR_MAIL.replace(BOB, f"{BOB}, eve@evil.example", 1), THEIR_SIGNER, OWN),
        (THEIR_MAIL.replace(BOB, f'"boss@{OURS}" <{BOB}>', 1), THEIR_SIGNER, OWN),
    ],
)
def test_what_does_not_count(mail: str, signer: str, anchors: Anchors) -> None:
    """A stranger with a certificate of that name would sign for everybody of the domain."""
    report = found(signed(mail, signer), anchors)
    assert report.verdict is Verdict.MISMATCH
    assert not report.matches


def test_a_changed_author_does_not_count() -> None:
    """What the domain signed for Bob would be shown as its director's."""
    world = World.under('[defaults]\nsign = "domain"\n', facts(signers=[THEIR_SIGNER]))
    theirs = replace(world, domains=frozenset({THEIRS}))
    sent = only(theirs.drive(leaving(THEIR_MAIL, ALICE, sender=BOB), outbound.STAGES))
    assert found(arriving(sent), OWN).verdict is Verdict.VALID
    arrived = arriving(sent)
    header = arrived.header.replace(f"From: {BOB}".encode(), f"From: director@{THEIRS}".encode(), 1)
    assert header != arrived.header
    report = found(replace(arrived, header=header), OWN)
    assert report.verdict is Verdict.MISMATCH
