"""What the configuration makes of `[[identity]]`: above all, whom groups are asked of."""

from __future__ import annotations

from typing import cast

import pytest
from tests.unit.config.test_identity import BASE

from gatepost.config.ldap import Ldap
from gatepost.config.load import parse
from gatepost.engine import source
from gatepost.engine.enrolment import identities
from gatepost.engine.identity import Identities
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.vault.keys import Vault

TABLES = """
[[ldap]]
url = "ldap://127.0.0.1"
base = "dc=partner,dc=example"
[[ldap]]
url = "ldap://localhost"
base = "dc=example, dc=com"
"""
GROUP = '[[identity]]\ngroup = "CN=mail,ou=groups,DC=example,DC=com"\nissue = "never"\n'


def made(text: str) -> Identities:
    settings = parse(BASE + text)
    return identities(settings, cast("Directory", None), cast("Vault", None), None)


async def test_a_group_is_asked_of_the_directory_it_stands_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A partner's directory would say who of our people gets a certificate."""
    asked: list[tuple[str, str]] = []

    class Fake:
        def __init__(self, where: Ldap) -> None:
            self.where = where

        async def members(self, group: str) -> tuple[Mailbox, ...]:
            asked.append((self.where.url, group))
            return (Mailbox.parse("Alice@example.com"),)

    monkeypatch.setattr(source, "directory", Fake)
    found = made(TABLES + GROUP)
    assert await found.rules.refresh() == ()
    assert asked == [("ldap://localhost", "CN=mail,ou=groups,DC=example,DC=com")]
    assert found.rules.of("alice@example.com").issue == "never"
    assert found.rules.of("bob@example.com").issue == "first-mail"


async def test_a_group_without_a_directory_is_told() -> None:
    """Members of the group would get what the next rule says, and nobody notice."""
    [fault] = await made(GROUP).rules.refresh()
    assert "no [[ldap]]" in fault
    assert await made(TABLES).rules.refresh() == ()
