"""Evidence looked after: stamped in the background, its head carried away, removed by age."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.peers.stamper import Stamper
from tests.unit.engine.desk import SETTINGS
from tests.unit.engine.test_gather import Home

from gatepost.config import parse
from gatepost.engine.archive import AGAIN, Archive
from gatepost.engine.journal import Journal
from gatepost.engine.upkeep import look_at_root_list
from gatepost.enrol.status import ROOT_LIST_LIFE
from gatepost.errors import GatepostError, KeyUnavailable, Unavailable
from gatepost.events import Event, Name
from gatepost.lookup import timestamp
from gatepost.mail.address import Mailbox
from gatepost.store.exhibit import read_head
from gatepost.vault.kek import Kek
from gatepost.vault.seal import Sealer

HOUR = timedelta(hours=1)
SEAL = Sealer(Kek(b"k" * 32), "evidence")


class Shelf(Home):
    """A company that keeps evidence, and a time stamping authority."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, datetime.now(UTC))
        self.folder = folder
        self.stamper = Stamper(folder / "tsa")

    def archive(self, table: str) -> Archive:
        """As configured."""
        settings = parse(f"{SETTINGS}\n[evidence]\n{table}\n", ROOT / "gatepost.toml")
        store, turns = self.directory.evidence, self.directory.turns
        return Archive(settings, store, turns, SEAL, self.vault, lambda: self.now)

    def keep(self, text: bytes) -> None:
        """One more record."""
        self.directory.evidence.keep(text, SEAL, now=self.now)


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    """With a running authority."""
    made = Shelf(tmp_path)
    await made.stamper.server.start()
    yield made
    await made.stamper.server.stop()
    made.directory.close()


@pytest.mark.peer("openssl")
async def test_stamps_come_by_and_by(shelf: Shelf) -> None:
    """An authority that is away stops mail, or records stay without a stamp for ever."""
    url, anchors = shelf.stamper.url, shelf.stamper.anchors
    table = f'timestamp_url = "{url}"\ntimestamp_anchors = "{anchors}"'
    nodes = [shelf.archive(table) for _ in range(3)]
    kept = shelf.directory.evidence
    await asyncio.gather(*(one.look() for one in nodes))
    assert shelf.stamper.asked == []  # there is nothing to stamp
    shelf.keep(b"one")
    shelf.keep(b"two")
    shelf.stamper.is_dead = True
    with pytest.raises(Unavailable):
        await nodes[0].look()
    await nodes[1].look()
    assert len(shelf.stamper.asked) == 1  # left alone for a while
    shelf.stamper.is_dead = False
    shelf.now += AGAIN + timedelta(seconds=1)
    await asyncio.gather(*(one.look() for one in nodes))
    assert len(shelf.stamper.asked) == 2
    (stamp,) = kept.stamps()
    last = kept.last()
    assert last is not None
    assert stamp.number == 2
    timestamp.verify(stamp.token, last.digest, shelf.stamper.certificates)
    shelf.keep(b"three")
    await nodes[0].look()
    assert kept.stamped() == 2
    shelf.now += HOUR + timedelta(seconds=1)
    await nodes[0].look()
    assert kept.stamped() == 3


@pytest.mark.peer("openssl")
async def test_another_authoritys_stamp_is_not_kept(shelf: Shelf) -> None:
    """Whoever sits between us and the authority decides what time it was."""
    ours = shelf.folder / "ours.pem"
    ours.write_text(shelf.authority.root.pem)
    url = shelf.stamper.url
    archive = shelf.archive(f'timestamp_url = "{url}"\ntimestamp_anchors = "{ours}"')
    shelf.keep(b"one")
    with pytest.raises(GatepostError, match="does not hold"):
        await archive.look()
    assert shelf.directory.evidence.stamped() == 0


async def test_heads_and_age(shelf: Shelf) -> None:
    """Nobody has a head to compare with; or records are kept longer than the law allows."""
    folder = shelf.folder / "heads"
    archive = shelf.archive(f'heads = "{folder}"\nkeep = "30d"')
    shelf.keep(b"one")
    with pytest.raises(KeyUnavailable, match="gatepost cert issue postmaster@"):
        await archive.look()
    postmaster = Mailbox.parse("postmaster@xyz.example")
    authority = type(shelf.authority)(
        shelf.directory, shelf.vault, frozenset({"xyz.example"}), "p256"
    )
    authority.ensure(postmaster, shelf.now)
    shelf.now += AGAIN + timedelta(seconds=1)
    await archive.look()
    (path,) = folder.iterdir()
    found = read_head(path.read_bytes())
    assert (path.name, found.number) == ("head-0000000001.json", 1)
    assert found.signer.emails == ("postmaster@xyz.example",)
    shelf.now += timedelta(days=31)
    shelf.keep(b"two")
    await archive.look()
    assert [one.record for one in shelf.directory.evidence.read(SEAL)] == [None, b"two"]
    assert len(list(folder.iterdir())) == 2


def test_a_root_list_that_is_due(shelf: Shelf) -> None:
    """The root lies in a safe, its list ends, and every certificate of ours is unknown."""
    events: list[Event] = []
    journal = Journal(lambda: shelf.now)
    journal.observe(events.append)
    look_at_root_list(shelf.authority, journal, shelf.now)
    assert events == []
    shelf.directory.forget_key(shelf.authority.root)
    look_at_root_list(shelf.authority, journal, shelf.now + ROOT_LIST_LIFE - timedelta(days=31))
    assert events == []
    look_at_root_list(shelf.authority, journal, shelf.now + ROOT_LIST_LIFE - timedelta(days=29))
    assert [one.name for one in events] == [Name.AUTHORITY_LIST_DUE]
