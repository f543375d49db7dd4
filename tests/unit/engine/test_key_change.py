"""Correspondents' keys are remembered, and the postmaster hears of a change once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.engine.desk import Desk
from tests.world import THEIRS, choice, facts

from gatepost.engine.gateway import Gateway
from gatepost.events import Name
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.pki.change import Known

BOB = f"bob@{THEIRS}"
MAIL = b"From: alice@xyz.example\r\nTo: bob@partner.example\r\nSubject: x\r\n\r\nsecret\r\n"
CHANGED = replace(
    choice(BOB), changes=("its issuer is now 'CN=Ä' and was 'CN=B'",), known=Known("ab", "CN=Ä", 1)
)


class Directory:
    """Remembers keys as the real one."""

    @property
    def known_keys(self) -> Directory:
        return self

    def __init__(self) -> None:
        self.keys: dict[Mailbox, Known] = {}

    def remember(self, mailbox: Mailbox, known: Known, *, now: datetime) -> bool:
        is_new = self.keys.get(mailbox) != known
        self.keys[mailbox] = known
        return is_new


@pytest.mark.parametrize(("key_change", "notices"), [("warn", 1), ("accept", 0), ("hold", 0)])
async def test_told_once(tmp_path: Path, key_change: str, notices: int) -> None:
    """An alarm that never rings, or rings at every mail until nobody hears it any more."""
    policy = f'[defaults]\nunsigned = "deliver"\nkey_change = "{key_change}"\n'
    desk = Desk(tmp_path, policy, facts(readers={BOB: CHANGED}))
    directory = Directory()
    bouncer = replace(desk.bouncer, postmaster=Mailbox.parse("postmaster@xyz.example"))
    parts = replace(desk.parts, directory=cast("Any", directory), bouncer=bouncer)
    desk.gateway = Gateway(parts)
    for _ in range(2):
        assert (await desk.mail(MAIL, BOB)).is_positive
        await desk.gateway.settle()
    found = [
        one
        for one in desk.submitted.items
        if str(one.envelope.recipients[0].mailbox) == "postmaster@xyz.example"
    ]
    assert len(found) == notices
    for one in found:
        text = join(one.content)
        assert b"Subject: The certificate of bob@partner.example changed" in text
        assert "its issuer is now 'CN=Ä'".encode() in text
        assert b"secret" not in text
        assert one.envelope.return_path is None
    told = [one for one in desk.events if one.name is Name.CERTIFICATE_CHANGED]
    assert len(told) == (0 if key_change == "hold" else 1)
    assert bool(directory.keys) is (key_change != "hold")
    held = [one for one in desk.events if one.name is Name.CERTIFICATE_HELD]
    assert len(held) == (2 if key_change == "hold" else 0)
    assert all(one.fields["address"] == BOB for one in held)
    await desk.close()
