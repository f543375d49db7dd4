"""Which rule an address falls under."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gatepost.config.identity import Identity
from gatepost.enrol import rule
from gatepost.enrol.rule import DEFAULT, Rules, purposes
from gatepost.errors import ConfigError, Malformed, Unavailable
from gatepost.mail.address import Mailbox

SALES = Identity(patterns=("*@sales.example.com", "sales-*@example.com"), source="a")
INFO = Identity(addresses=("Info@example.com", "@example.com"), source="b")
REST = Identity(source="c")


def test_the_first_that_fits() -> None:
    """A function mailbox would be ordered a certificate from the wrong authority."""
    rules = Rules((SALES, INFO, REST))
    for address, source in (
        ("Alice@SALES.example.com", "a"),
        ("sales-north@example.com", "a"),
        ("info@EXAMPLE.com", "b"),
        ("alice@xsales.example.com.evil.org", "c"),
        ("presales-1@example.com", "c"),
        ("domain-signing-authority@example.com", "b"),
        ("@example.com", "b"),
    ):
        assert rules.of(address).source == source, address
    assert rules.of("@other.example") is DEFAULT  # a rule for all is not for domains themselves
    assert Rules(()).of(Mailbox.parse("a@example.com")) is DEFAULT
    assert rules.listed(INFO) == {"info@example.com", "@example.com"}


def test_a_list_that_changes(tmp_path: Path) -> None:
    """Whoever is hired would get no certificate until the gateway is restarted."""
    path = tmp_path / "people.txt"
    path.write_text("# people\nalice@example.com\n\nBob@example.com  # boss\n")
    one = Identity(list=path, source="a")
    rules = Rules((one,))
    assert rules.listed(one) == {"alice@example.com", "bob@example.com"}
    path.write_text("carol@example.com\n")
    os.utime(path, (1, 1))
    assert rules.of("carol@example.com") is one
    assert rules.of("bob@example.com") is DEFAULT
    path.unlink()
    assert rules.of("carol@example.com") is one  # a list that is being replaced
    with pytest.raises(Unavailable, match="cannot be read"):
        Rules((one,)).of("carol@example.com")
    with pytest.raises(Malformed, match="line 2"):
        rule.addresses(["a@example.com", "nobody"])


async def test_groups(tmp_path: Path) -> None:
    """A directory that is down would take everybody out of his group."""
    one = Identity(group="cn=mail", source="a")
    answers: list[tuple[Mailbox, ...] | None] = [(Mailbox.parse("alice@example.com"),), None]

    async def members(group: str) -> tuple[Mailbox, ...]:
        assert group == "cn=mail"
        found = answers.pop(0)
        if found is None:
            raise ConfigError("no such group")
        return found

    rules = Rules((one,), members)
    with pytest.raises(Unavailable, match="cn=mail"):
        rules.of("alice@example.com")
    assert await rules.refresh() == ()
    assert rules.of("alice@example.com") is one
    assert rules.of("bob@example.com") is DEFAULT
    assert await rules.refresh() == ("group 'cn=mail': no such group",)
    assert rules.of("alice@example.com") is one
    [fault] = await Rules((one,)).refresh()
    assert "[[ldap]]" in fault


def test_keys() -> None:
    """A user of an authority that issues one certificate would wait for a second for ever."""
    alice = "alice@example.com"
    assert purposes(Identity(source="a"), alice) == ("both",)
    assert purposes(Identity(source="a", keys="separate"), alice) == ("sign", "encrypt")
    assert purposes(Identity(), alice) == ("sign", "encrypt")
    assert purposes(Identity(keys="one"), alice) == ("both",)
    assert rule.key_type(Identity(source="a", key_type="p256"), "rsa2048") == "p256"
    assert rule.key_type(Identity(source="a"), "rsa2048") == "rsa2048"


@pytest.mark.parametrize("one", [Identity(), Identity(keys="one"), Identity(source="a")])
def test_keys_of_a_domain(one: Identity) -> None:
    """RFC 3183: the company would sign with the key that others encrypt to, or be written to."""
    assert purposes(one, "@example.com") == ("encrypt",)
    assert purposes(one, "domain-signing-authority@example.com") == ("sign",)
