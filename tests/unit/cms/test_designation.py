"""Certificates named the ways CMS has for it."""

from __future__ import annotations

from tests.pki_builder import company, user

from gatepost.cms import ber, der, designation
from gatepost.cms.designation import CertificateId


def test_by_issuer_and_serial() -> None:
    """Without this no recipient finds its key."""
    alice, bob = user("alice@example.com"), user("bob@example.com")
    named = designation.parse(ber.parse(designation.issuer_and_serial(alice.certificate)))
    assert named.names(alice.certificate)
    assert not named.names(bob.certificate)
    assert named.among([bob.certificate, alice.certificate]) == alice.certificate
    assert named.among([bob.certificate]) is None


def test_by_key_identifier() -> None:
    """`openssl cms -keyid` and many Java senders name recipients this way."""
    alice = user("alice@example.com").certificate
    assert alice.key_id is not None
    named = designation.parse(ber.parse(der.tlv(0x80, alice.key_id)))
    assert named.names(alice)
    without = company().user("nobody@example.com", kind="p256", key_id=False)
    assert not named.names(without.certificate)
    assert not CertificateId(None, None, None).names(without.certificate)


def test_a_re_encoded_issuer_is_still_the_issuer() -> None:
    """Outlook has been seen to change UTF8String to PrintableString and back."""
    alice = user("alice@example.com").certificate
    name = "example  issuing ca"
    attribute = der.sequence(der.oid("2.5.4.3"), der.tlv(0x13, name.encode()))
    issuer = der.sequence(der.set_of(attribute))
    assert issuer != alice.issuer
    assert CertificateId(issuer, alice.serial, None).names(alice)
    assert not CertificateId(issuer, alice.serial + 1, None).names(alice)
    other = der.sequence(der.set_of(der.sequence(der.oid("2.5.4.10"), der.tlv(0x13, b"x"))))
    assert not CertificateId(other, alice.serial, None).names(alice)
