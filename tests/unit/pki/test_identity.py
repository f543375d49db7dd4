"""Whose certificate it is."""

import pytest
from cryptography import x509
from tests.unit.pki.forge import authority, forge

from gatepost.mail.address import Mailbox
from gatepost.pki.identity import addresses, is_self_issued, matches


def box(text: str) -> Mailbox:
    return Mailbox.parse(text)


@pytest.mark.parametrize(
    ("written", "asked", "expected"),
    [
        ("alice@example.com", "alice@example.com", True),
        ("Alice@Example.COM", "alice@example.com", True),
        ("alice@example.com", "bob@example.com", False),
        ("alice@example.com", "alice@sub.example.com", False),
        ("alice@example.com", "alice@example.org", False),
        ("alice@xn--bcher-kva.example", "alice@bücher.example", True),
        ("@example.com", "alice@example.com", False),
        ("*@example.com", "alice@example.com", False),
        ("example.com", "alice@example.com", False),
        ("domain-confidentiality-authority@example.com", "alice@example.com", False),
        ("alice@example.com.evil.example", "alice@example.com", False),
        ("alice@example.com\0.evil.example", "alice@example.com", False),
        ("<alice@example.com>", "alice@example.com", False),
        (" alice@example.com", "alice@example.com", False),
    ],
)
def test_exactly_this_mailbox(written: str, asked: str, expected: bool) -> None:
    """Mail would be encrypted to somebody else, or a stranger's signature shown as Alice's."""
    assert expected == matches(forge(emails=[written]), box(asked))


def test_any_of_several_alternative_names() -> None:
    """People with two addresses would have one only."""
    both = forge(emails=["alice@example.com", "al@example.org"])
    assert matches(both, box("al@example.org"))


def test_the_subjects_address_counts_only_alone() -> None:
    """Name constraints never saw it: a constrained CA could speak for every company."""
    assert matches(forge(emails=None, subject_email="old@example.com"), box("old@example.com"))
    mixed = forge(emails=["alice@example.com"], subject_email="ceo@example.org")
    assert not matches(mixed, box("ceo@example.org"))


def test_self_issued_means_signed_too() -> None:
    """A certificate that only claims a root's name would be taken for an anchor."""
    assert is_self_issued(authority("Root"))
    assert not is_self_issued(authority("Issuing", "Root"))
    assert not is_self_issued(forge("Root", "Root", by="p256", key_name="other"))


def test_thousands_of_names_are_bounded() -> None:
    """One certificate could fill the memory."""
    many = forge(emails=[f"a{n}@example.com" for n in range(1500)])
    assert len(addresses(many)) == 1000


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"\x0c\x13" + "bücher@example.com".encode(), True),
        (b"\x16\x13" + "bücher@example.com".encode(), False),  # an IA5String
        (b"\x04\x01A", False),
    ],
)
def test_an_international_address(octets: bytes, expected: bool) -> None:
    """Nobody whose address has an umlaut before the @ could be written to (RFC 9598)."""
    other = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), octets)
    extra = [(x509.SubjectAlternativeName([other]), False)]
    one = forge(emails=None, subject_email="bücher@example.org", extra=extra)
    assert matches(one, box("bücher@example.com")) is expected
