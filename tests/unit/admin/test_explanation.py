"""What would become of a message is what becomes of it."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.pki_builder import company, company_root

from gatepost.admin import explanation
from gatepost.admin.explanation import Explanation, Request
from gatepost.config import parse
from gatepost.engine.service import Stores
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.mac import Mac
from gatepost.vault.seal import Sealer

SETTINGS = """
[gateway]
hostname = "gw.example.com"
domains = ["example.com"]
[[listener]]
bind = "127.0.0.1:0"
direction = "both"
[next_hop]
inbound = "127.0.0.1:10026"
outbound = "127.0.0.1:10027"
[vault]
key_environment = "KEY"
"""
POLICY = """
[defaults]
sign = "never"
[[rule]]
name = "partners"
to = "partner.example"
encrypt = "mandatory"
"""
MAIL = b"From: alice@example.com\nTo: bob@partner.example\nSubject: x\n\nhello\n"
BOB = "bob@partner.example"


@pytest.fixture
def stores(tmp_path: Path, now: datetime) -> Iterator[Stores]:
    """A directory in which Bob has a certificate."""
    kek = Kek(b"k" * 32)
    with Directory(tmp_path / "directory.db") as directory:
        directory.policy.apply(POLICY, author="root", note="", now=now)
        directory.add_partner("partner.example", [company_root().certificate], now=now)
        bob = company().user(BOB, kind="p256", purpose="encrypt")
        directory.learn(bob.certificate, Mailbox.parse(BOB), issuers=bob.chain, now=now)
        vault = Vault(directory, Sealer(kek, "private-key"))
        seal, mac = Sealer(kek, "queue"), Mac(kek, "trace")
        yield Stores(directory, vault, None, tmp_path / "queue", seal, mac, seal)


async def explained(
    stores: Stores, now: datetime, *to: str, sender: str = "alice@example.com", way: str = ""
) -> Explanation:
    """The explanation for these recipients."""
    request = Request.parse(MAIL, sender, to, way)
    return await explanation._explained(parse(SETTINGS, ROOT / "g.toml"), stores, request, now)


def done(found: Explanation) -> dict[str, str]:
    """What would be done for whom."""
    return {one.recipient: str(one.done) for one in found.decisions}


async def test_who_is_refused_at_rcpt_holds_nobody_back(stores: Stores, now: datetime) -> None:
    """It tells that nobody gets the mail, and in truth only Eve, refused at RCPT, does not."""
    found = await explained(stores, now, BOB, "eve@partner.example")
    assert done(found) == {BOB: "encrypt", "eve@partner.example": "refuse"}
    assert not found.good
    assert 'rule "partners"' in found.text
    assert "eve@partner.example: encryption is mandatory" in found.text


@pytest.mark.parametrize(
    ("sender", "to", "way", "reply"),
    [
        ("eve@evil.example", BOB, "", "the return path is not in a domain of ours"),
        ("eve@evil.example", BOB, "inbound", "no such domain here"),
    ],
)
async def test_nobody_is_told_that_a_stranger_may_relay(
    stores: Stores, now: datetime, sender: str, to: str, way: str, reply: str
) -> None:
    """An administrator takes the gateway for an open relay."""
    found = await explained(stores, now, to, sender=sender, way=way)
    assert done(found) == {to: "refuse"}
    assert reply in found.text
