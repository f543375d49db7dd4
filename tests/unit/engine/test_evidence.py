"""What is kept of mail with a valid signature."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.engine.desk import Desk
from tests.unit.store.box import TestSeal
from tests.world import ANCHORS, OURS, THEIRS, World, facts, octets, only, outgoing, person

from gatepost.admin.testimony import Judge
from gatepost.engine import evidence
from gatepost.engine.gateway import Gateway
from gatepost.flow import outbound
from gatepost.mail.content import Octets
from gatepost.net.application import SessionInfo
from gatepost.store.chain import BEGINNING, linked
from gatepost.store.directory import Directory
from gatepost.store.evidence import MAXIMUM_RECORD

ALICE, BOB = f"alice@{OURS}", f"bob@{THEIRS}"
TEXT = f"From: {BOB}\nTo: {ALICE}\nSubject: x\n\nI owe you 100.\n"


def signed(*readers: str) -> bytes:
    world = World(facts=facts(signers=[BOB], readers=readers), domains=frozenset({THEIRS}))
    return octets(only(world.drive(outgoing(TEXT, ALICE, sender=BOB), outbound.STAGES)))


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("good", [True, False])
async def test_valid_signatures_are_kept_where_wanted(
    tmp_path: Path, keeps: bool, good: bool
) -> None:
    """A signature counted, and years later nobody can show why; or everybody's mail is hoarded."""
    known = facts(anchors={THEIRS: ANCHORS})
    desk = Desk(tmp_path / "queue", f"[inbound]\nkeep_evidence = {str(keeps).lower()}\n", known)
    seal = TestSeal()
    mail = signed() if good else signed().replace(b"100", b"900")
    with Directory(tmp_path / "directory.db") as directory:
        parts = replace(desk.parts, directory=directory, evidence_seal=cast("Any", seal))
        desk.gateway = Gateway(parts)
        reply = await desk.mail(
            mail, ALICE, sender=BOB, session=SessionInfo("both", "192.0.2.1", 4711)
        )
        assert reply.is_positive
        await desk.gateway.settle()
        links = list(directory.evidence.read(cast("Any", seal)))
    await desk.close()
    assert len(links) == (keeps and good)
    for one in links:
        said = json.loads(one.record or b"")
        assert base64.b64decode(said["mail"]) == mail
        (signer,) = said["signatures"][0]["signers"]
        first = base64.b64decode(signer["certificates"][0])
        assert first == person(BOB).certificate.der
        assert said["signatures"][0]["verdict"] == "valid"
        assert said["recipients"] == [ALICE]


async def test_evidence_that_cannot_be_made_stops_no_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted mail is answered with 451, and comes again and again, delivered each time."""

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(evidence, "testimony", fail)
    known = facts(anchors={THEIRS: ANCHORS})
    desk = Desk(tmp_path / "queue", "[inbound]\nkeep_evidence = true\n", known)
    with Directory(tmp_path / "directory.db") as directory:
        parts = replace(desk.parts, directory=directory, evidence_seal=cast("Any", TestSeal()))
        desk.gateway = Gateway(parts)
        session = SessionInfo("both", "192.0.2.1", 4711)
        assert (await desk.mail(signed(), ALICE, sender=BOB, session=session)).is_positive
        await desk.gateway.settle()
        assert directory.evidence.last() is None
    await desk.close()


async def test_what_only_we_can_open_is_kept_opened(tmp_path: Path) -> None:
    """The judge sees ciphertext, and has to believe us that something in it was signed."""
    known = facts(anchors={THEIRS: ANCHORS}, openers=[ALICE])
    desk = Desk(tmp_path / "queue", "[inbound]\nkeep_evidence = true\n", known)
    seal = cast("Any", TestSeal())
    mail = signed(ALICE)
    assert b"I owe you" not in mail
    with Directory(tmp_path / "directory.db") as directory:
        desk.gateway = Gateway(replace(desk.parts, directory=directory, evidence_seal=seal))
        session = SessionInfo("both", "192.0.2.1", 4711)
        assert (await desk.mail(mail, ALICE, sender=BOB, session=session)).is_positive
        await desk.gateway.settle()
        (link,) = directory.evidence.read(seal)
    await desk.close()
    said = json.loads(link.record or b"")
    assert base64.b64decode(said["mail"]) == mail
    assert b"I owe you 100." in base64.b64decode(said["inside"])
    found = Judge().judged(link, {})
    assert (found.signature, found.path, found.agrees) == ("valid", "holds", True)
    said["mail"] = None  # both together were too much
    changed = linked(1, link.at, BEGINNING, json.dumps(said).encode())
    assert Judge().judged(changed, {}).signature == "valid"
    said["mail"], said["inside"] = base64.b64encode(mail).decode(), None
    changed = linked(1, link.at, BEGINNING, json.dumps(said).encode())
    assert Judge().judged(changed, {}).signature == "enclosed"


def test_what_was_opened_is_kept_when_both_are_too_much() -> None:
    """A record of 85 MiB is refused, and nothing at all is kept of a mail with large files."""
    assert evidence._mail(Octets(b"x" * 225), 296) is None
    assert evidence._mail(Octets(b"x" * 219), 296) is not None
    largest = 2 * (evidence.MAXIMUM_MAIL * 4 // 3 + 4)
    assert evidence.MAXIMUM_TEXT + 1024 * 1024 < MAXIMUM_RECORD < largest
