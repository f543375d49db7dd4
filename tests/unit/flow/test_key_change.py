"""What policy does when a correspondent's certificate changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.world import World, choice, facts, octets, outgoing, told

from gatepost.flow import outbound
from gatepost.flow.decision import Done
from gatepost.flow.explain import render
from gatepost.flow.plan import met
from gatepost.flow.verdict import Continue, Outcome, Reject, Wait
from gatepost.mail.address import Mailbox
from gatepost.pki.change import Known
from gatepost.pki.choose import Choice

BOB = "bob@partner.example"
TEXT = "From: alice@xyz.example\nTo: bob@partner.example\nSubject: x\n\nsecret text\n"
WHY = "its issuer is now 'CN=Other' and was 'CN=Root'"
CHANGED = replace(choice(BOB), changes=(WHY,), known=Known("ab", "CN=Other", 128))


def sent(policy: str, found: Choice = CHANGED, sender: str | None = "alice@xyz.example") -> Outcome:
    known = facts(readers={BOB: found}, signers=["alice@xyz.example"])
    (outcome,) = World.under(policy, known).drive(
        outgoing(TEXT, BOB, sender=sender), outbound.STAGES
    )
    return outcome


def test_it_is_used_and_the_postmaster_told() -> None:
    """The alarm never rings, or mail stands still because a partner changed his authority."""
    outcome = sent("")
    assert isinstance(outcome.verdict, Continue)
    (one,) = met(outcome.message.findings)
    assert (one.mailbox, one.changes, one.warns) == (Mailbox.parse(BOB), (WHY,), True)
    decision = told([outcome])[BOB]
    assert decision.done is Done.SIGNED_ENCRYPTED
    assert f"because the certificate of {BOB} changed: {WHY}" in render(decision)


def test_accepted_silently() -> None:
    """A partner whose keys change weekly fills the postmaster's mailbox."""
    (one,) = met(sent('[defaults]\nkey_change = "accept"').message.findings)
    assert not one.warns


@pytest.mark.parametrize("encrypt", ["mandatory", "when-possible"])
def test_held_until_somebody_accepts_it(encrypt: str) -> None:
    """Mail goes to a key nobody has looked at, or in clear because of it."""
    outcome = sent(f'[defaults]\nencrypt = "{encrypt}"\nkey_change = "hold"')
    assert isinstance(outcome.verdict, Wait)
    assert "an administrator has to accept" in outcome.verdict.reply.text
    assert met(outcome.message.findings) == ()  # not remembered before it is accepted
    decision = told([outcome])[BOB]
    assert decision.done is Done.WAITING
    assert WHY in render(decision)


def test_tls_is_no_way_around() -> None:
    """Who can change a certificate can make mail leave without encryption."""
    outcome = sent(
        '[defaults]\nencrypt = "mandatory"\nunencryptable = "verified-tls"\nkey_change = "hold"'
    )
    assert isinstance(outcome.verdict, Wait)


def test_nobody_can_be_told_under_the_null_path() -> None:
    """A bounce in clear, or one that waits and of which nobody will hear."""
    outcome = sent('[defaults]\nkey_change = "hold"', sender=None)
    assert isinstance(outcome.verdict, Reject)
    assert b"secret text" in octets(outcome)  # as it came; it goes nowhere


def test_the_first_key_is_remembered_without_a_word() -> None:
    """Every new correspondent would be an alarm."""
    outcome = sent('[defaults]\nkey_change = "hold"', replace(CHANGED, changes=()))
    assert isinstance(outcome.verdict, Continue)
    assert [one.changes for one in met(outcome.message.findings)] == [()]
