"""Mailboxes: which spellings are one mailbox, and what is none."""

import pytest

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox, domain_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice@Example.ORG", "alice@example.org"),
        ('"alice"@example.org', "alice@example.org"),
        ('"a\\lice"@example.org', "alice@example.org"),
        ("alice@exämple.org", "alice@xn--exmple-cua.org"),
    ],
)
def test_equal_keys(one: str, other: str) -> None:
    """RFC 5321 section 4.1.2: quoting a local-part dodges the rule made for it."""
    assert Mailbox.parse(one).key == Mailbox.parse(other).key


def test_needed_quotes_count() -> None:
    """Two mailboxes share one certificate."""
    assert Mailbox.parse('"a b"@example.org').key == '"a b"@example.org'


@pytest.mark.parametrize(
    "text",
    ["", "alice", "@", "a@", "@b", "a@b..c", "a b@c", "a@b c", "\udc80@b", "a@\udc80", f"{'a' * 65}@b"],
)  # fmt: skip
def test_malformed(text: str) -> None:
    """An address that is none raises something else than Malformed and kills the session."""
    with pytest.raises(Malformed):
        Mailbox.parse(text)


@pytest.mark.parametrize(
    ("spelled", "key"),
    [
        ("straße.example", "xn--strae-oqa.example"),  # RFC 5891: no longer strasse.example
        ("STRAẞE.example", "xn--strae-oqa.example"),
        ("βόλος.example", "xn--nxasmm1c.example"),
        ("ΒΌΛΟΣ.example", "xn--nxasmq6b.example"),
        ("bücher。example．", "xn--bcher-kva.example"),
        ("partner.example。", "partner.example"),
        ("ｐartner.example", "partner.example"),
        (f"{'ü' * 70}.bücher.example", f"{'ü' * 70}.xn--bcher-kva.example"),
        ("PARTNER.example.", "partner.example"),
    ],
)
def test_one_domain_has_one_key(spelled: str, key: str) -> None:
    """Mail to one spelling would escape the rule that demands encryption for the other."""
    assert domain_key(spelled) == key
