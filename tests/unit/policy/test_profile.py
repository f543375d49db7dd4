"""Profiles: what they bring, and what goes before them."""

import pytest

from gatepost.mail.address import Mailbox
from gatepost.policy.evaluate import certainly_mandatory, evaluate
from gatepost.policy.explain import explain
from gatepost.policy.parse import parse
from gatepost.policy.profile import PROFILES
from gatepost.policy.rules import NAMES, Profile
from gatepost.policy.treatment import Encrypt, Form, Treatment

EDI, OTHER = Mailbox.parse("edi@grid.example"), Mailbox.parse("bob@other.example")


def treated(text: str, recipient: Mailbox = EDI) -> Treatment:
    """What a policy of this text wants."""
    return evaluate(parse(text), None, recipient)


def test_the_energy_profile_is_what_the_market_prescribes() -> None:
    """A market partner's gateway refuses PKCS #1 v1.5, and a supplier's data is late."""
    found = treated('[[rule]]\nname = "Grid"\nto = "grid.example"\nprofile = "edi-energy"\n')
    assert found.sign
    assert found.encrypt is Encrypt.MANDATORY
    assert (found.signature, found.digest) == ("rsa-pss", "sha256")
    assert (found.key_transport, found.cipher, found.least_cipher) == (
        "rsa-oaep",
        "auto",
        "aes128-cbc",
    )
    assert found.header_protection == "off"
    assert treated('[[rule]]\nname = "G"\nto = "grid.example"\nprofile = "kim"', OTHER).form is (
        Form.AUTO
    )


def test_what_a_rule_says_itself_goes_before_its_profile() -> None:
    """One partner who lags behind could not be served by the common profile."""
    text = '[[rule]]\nname = "Grid"\nprofile = "edi-energy"\nsignature = "rsa-pkcs1"\n'
    found = treated(text)
    assert found.signature == "rsa-pkcs1"
    assert str(found.origin("signature")) == 'rule "Grid", line 1'
    assert str(found.origin("encrypt")) == 'profile edi-energy in rule "Grid", line 1'
    assert "profile edi-energy in rule" in explain(found)
    assert Treatment.from_data(found.as_data()) == found


def test_a_more_specific_rule_goes_before_another_ones_profile() -> None:
    """A profile for everybody would overrule what was written for one."""
    text = (
        '[defaults]\nprofile = "modern"\n[[rule]]\nname = "All"\nprofile = "compatible"\n'
        '[[rule]]\nname = "One"\nto = "edi@grid.example"\ncipher = "aes128-gcm"\n'
    )
    found = treated(text)
    assert found.cipher == "aes128-gcm"
    assert found.key_transport == "rsa-pkcs1"
    assert found.least_cipher == "aes128-gcm"  # compatible says nothing of it, modern does
    assert found.origin("least_cipher").profile == "modern"


@pytest.mark.parametrize("profile", Profile)
def test_mandatory_by_profile_is_known_at_rcpt(profile: Profile) -> None:
    """Everybody else's mail would be refused with one recipient's."""
    policy = parse(f'[defaults]\nprofile = "{profile}"\n')
    wished = evaluate(policy, None, EDI).encrypt
    assert certainly_mandatory(policy, EDI) == (wished is Encrypt.MANDATORY)


def test_no_profile_stands_within_another() -> None:
    """Expansion would not end, or not be seen."""
    assert all(one.profile is None for one in PROFILES.values())
    assert all(any(getattr(one, name) for name in NAMES) for one in PROFILES.values())
    assert set(PROFILES) == set(Profile)
