"""A company whose keys live in a token: the demo's exchange, and mail while the token is away."""

import asyncio
from pathlib import Path

import pytest
from tests.peers.hsm import begin

from gatepost.demo import company
from gatepost.demo.world import ALICE, BOB, World
from gatepost.vault.custody import key_id_of
from gatepost.vault.held import HeldEc, HeldRsa
from gatepost.vault.token import PAUSE

pytestmark = pytest.mark.peer("softhsm2-util")


def test_exchange(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice's and Bob's keys never leave their tokens; one that is gone loses no mail."""
    tokens = begin(tmp_path, monkeypatch)
    for label in ("xyz.us.example", "xyz.co.uk.example"):
        tokens.make(label)
    table = tokens.settings("{domain}")
    monkeypatch.setattr(company, "CONFIGURATION", company.CONFIGURATION + table)

    async def play() -> None:
        world = World(tmp_path / "demo")
        await world.start()
        try:
            assert not (await world.introduce()).refused
            sent = await world.send(ALICE, "The price", "It is 2.4 million.", "Alice writes")
            assert not sent.refused
            assert "2.4 million" in sent.read_text
            assert not world.saw(b"2.4 million")
            with tokens.carried_away():
                sent = await world.send(ALICE, "While away", "Hello?", "No token")
                assert sent.refused
                assert "451" in str(sent.reply)
            await asyncio.sleep(PAUSE)
            sent = await world.send(ALICE, "While away", "It is 2.5 million.", "Once more")
            assert not sent.refused
            assert "2.5 million" in sent.read_text
            assert not (await world.send(BOB, "Re: The price", "Fine.", "Bob answers")).refused
            for one in (world.alices, world.bobs):
                _all_in_the_token(one)
        finally:
            await world.stop()

    asyncio.run(play())


def _all_in_the_token(one: company.Company) -> None:
    stores = one.service.stores
    held = [entry for entry in one.directory.find(limit=100) if entry.key_purpose is not None]
    assert len(held) == 4  # root, issuing, and one person's two
    for entry in held:
        key = stores.vault.private_key_of(entry.certificate)
        assert isinstance(key, HeldRsa | HeldEc), key_id_of(key.public_key())
