"""The clockwork: it begins, hears what is grave, writes to the postmaster, and ends."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from tests.conftest import ROOT
from tests.unit.engine.desk import SETTINGS
from tests.unit.engine.test_gather import Home

from gatepost.config import parse
from gatepost.engine.archive import Archive
from gatepost.engine.bounce import Bouncer
from gatepost.engine.journal import Journal
from gatepost.engine.standing import standing
from gatepost.engine.upkeep import Duties, Upkeep
from gatepost.events import Event, Name
from gatepost.mail.address import Mailbox
from gatepost.mail.content import join
from gatepost.store.queue_item import NewItem
from gatepost.vault.kek import Kek
from gatepost.vault.seal import Sealer


async def test_a_held_key_is_told_at_once(tmp_path: Path) -> None:
    """Mail waits for a word of the postmaster, who hears of it when he comes to look."""
    home = Home(tmp_path, datetime.now(UTC))
    settings = parse(SETTINGS, ROOT / "gatepost.toml")
    events: list[Event] = []
    journal = Journal(lambda: home.now)
    journal.observe(events.append)
    sent: asyncio.Queue[NewItem] = asyncio.Queue()

    async def send(letter: NewItem) -> None:
        sent.put_nowait(letter)

    directory = home.directory
    upkeep = Upkeep(
        Duties(
            settings,
            directory,
            home.authority,
            standing(settings, directory.statuses, lambda: home.now),
            Archive(
                settings,
                directory.evidence,
                directory.turns,
                Sealer(Kek(b"k" * 32), "evidence"),
                home.vault,
                lambda: home.now,
            ),
            Bouncer(
                "gate.xyz.example",
                lambda _: "inbound",
                lambda _: "Q",
                lambda: "token",
                Mailbox.parse("postmaster@xyz.example"),
            ),
            send,
            journal,
            lambda: home.now,
        )
    )
    upkeep.start()
    note = {"address": "bob@x.example", "fingerprint": "ab", "reason": "its issuer is another"}
    await asyncio.to_thread(journal.note, Name.CERTIFICATE_HELD, **note)
    letter = await sent.get()
    assert letter.envelope.return_path is None
    assert b"its issuer is another" in join(letter.content)
    await upkeep.stop()
    assert [one for one in events if one.name is Name.SERVICE_ERROR] == []
    home.directory.close()
