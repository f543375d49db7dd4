"""Evidence shown to somebody years later, offline: the mail, its path, revocation, the time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from tests.peers.stamper import Stamper
from tests.pki_builder import user
from tests.unit.engine.test_standing import Web
from tests.unit.lookup.test_revocation import BOB, START

from gatepost.admin import evidence
from gatepost.engine import evidence as keeping
from gatepost.flow.verdict import Continue, Outcome
from gatepost.lookup import timestamp
from gatepost.lookup.download import Download
from gatepost.lookup.resolver import Resolver, ResolverSettings
from gatepost.mail.content import Octets
from gatepost.store import exhibit
from gatepost.store.exhibit import NotProven, Stamp
from gatepost.vault.kek import Kek
from gatepost.vault.seal import Sealer

SEAL = Sealer(Kek(b"k" * 32), "evidence")
LATER = START + timedelta(days=3650)
SIGNER = user("postmaster@xyz.example", "p256").signer


@dataclass
class Archive:
    """One record of Bob's mail, kept while his CA could be asked."""

    web: Web
    folder: Path

    async def keep(self) -> None:
        """Bob's mail arrives and is kept."""
        signer = self.web.ca.ensure(BOB, START).signer
        message = await self.web.arrived("soft", signer)
        mail = Octets(self.web.sent)
        made = keeping.testimony("Q1", mail, [Outcome(message, Continue())])
        assert made is not None
        self.web.ours.evidence.keep(made.record, SEAL, now=self.web.now, proofs=made.proofs)

    def exported(self, *, proofs: bool = True) -> Path:
        """The file."""
        kept, path = self.web.ours.evidence, self.folder / "evidence"
        found = kept.proofs() if proofs else ()
        lines = exhibit.export(kept.read(SEAL), SIGNER, LATER, proofs=found, stamps=kept.stamps())
        path.write_bytes(b"".join(lines))
        return path


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    """A partner's CA behind a real web server."""
    web = Web(tmp_path)
    await web.server.start()
    yield Archive(web, tmp_path)
    await web.server.stop()
    web.theirs.close()
    web.ours.close()


async def test_everything_is_judged_again(archive: Archive) -> None:
    """Ten years later the CA is gone, and nobody can say whether Bob's key was good then."""
    await archive.keep()
    found = evidence.verify(archive.exported())
    (one,) = found.kept
    assert one.agrees
    assert (one.signature, one.path) == ("valid", "holds")
    assert one.revocation == (
        "'bob@partner.example' is not revoked",
        "'Partner Mail Issuing CA 2026' is not revoked",
    )
    without = evidence.verify(archive.exported(proofs=False))
    assert not without.agrees
    assert "is not known" in without.kept[0].revocation[0]


async def test_a_removed_record_and_a_head(archive: Archive) -> None:
    """Retention would make the rest of the file worthless, or hide that more was removed."""
    await archive.keep()
    archive.web.now += timedelta(days=2)
    await archive.keep()
    last = archive.web.ours.evidence.last()
    assert last is not None
    head = archive.folder / "head"
    head.write_bytes(exhibit.head(last, SIGNER, LATER))
    age = timedelta(days=1)
    assert archive.web.ours.evidence.drop(age, SEAL, now=archive.web.now) == 1
    found = evidence.verify(archive.exported(), [head])
    assert [one.removed for one in found.kept] == [True, False]
    assert found.agrees
    assert [one.number for one in found.heads] == [2]
    lines = exhibit.export(archive.web.ours.evidence.read(SEAL, last=1), SIGNER, LATER)
    (archive.folder / "short").write_bytes(b"".join(lines))
    with pytest.raises(NotProven, match="cut short"):
        evidence.verify(archive.folder / "short", [head])


@pytest.mark.peer("openssl")
async def test_time_stamps_come_later(archive: Archive) -> None:
    """A time stamp added after the record would break the chain, or prove nothing."""
    await archive.keep()
    kept = archive.web.ours.evidence
    last = kept.last()
    assert last is not None
    before = evidence.verify(archive.exported())
    stamper = Stamper(archive.folder / "tsa")
    await stamper.server.start()
    download = Download(
        Resolver(ResolverSettings((("127.0.0.1", 9),))), (ip_network("127.0.0.0/8"),)
    )
    token = await timestamp.ask(download, stamper.url, last.digest, stamper.certificates)
    await stamper.server.stop()
    kept.stamp(last.number, token, datetime.now(UTC))
    found = evidence.verify(archive.exported(), anchors=stamper.anchors)
    assert found.kept == before.kept
    (stamp,) = found.stamps
    assert abs(stamp.when - datetime.now(UTC)) < timedelta(minutes=10)
    assert evidence.verify(archive.exported()).unchecked == 1
    ours = archive.folder / "ours.pem"
    ours.write_text(archive.web.ca.root.pem)
    with pytest.raises(NotProven, match="time stamp over record 1"):
        evidence.verify(archive.exported(), anchors=ours)
    other = exhibit.export(kept.read(SEAL), SIGNER, LATER, stamps=[Stamp(7, token)])
    (archive.folder / "other").write_bytes(b"".join(other))
    with pytest.raises(NotProven, match="not in the file"):
        evidence.verify(archive.folder / "other", anchors=stamper.anchors)
