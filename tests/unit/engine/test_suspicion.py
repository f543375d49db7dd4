"""Senders whose mail our keys do not open: never refused, but answered slowly and evenly."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.engine.desk import Desk
from tests.world import ANCHORS, THEIRS, World, facts, incoming, person

from gatepost.engine import gateway, suspicion
from gatepost.engine.suspicion import LIMIT, MAXIMUM_ORIGINS, WINDOW, Suspicion
from gatepost.events import Name
from gatepost.mail.content import join
from gatepost.net.application import SessionInfo
from gatepost.smime.encrypt import encrypt

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ALICE, BOB = "alice@xyz.example", "bob@partner.example"


def sealed(*, spoiled: bool) -> bytes:
    """Mail for Alice that her key opens, or not."""
    message = incoming(f"From: {BOB}\nTo: {ALICE}\nSubject: x\n\nSecret.\n", ALICE)
    header, body = encrypt(
        message.header,
        message.body,
        [person(ALICE).certificate],
        cipher="aes256-cbc",
        entropy=World().context().entropy,
    )
    octets = bytearray(base64.b64decode(join(body)))
    octets[-1] ^= spoiled  # in the last block, where the padding is
    return header + b"\r\n" + base64.encodebytes(octets).replace(b"\n", b"\r\n")


def test_failures_count_by_host_and_are_forgotten() -> None:
    """One unlucky correspondent would be slowed for ever, or one attacker never."""
    tested = Suspicion()
    reached = [tested.note("192.0.2.1", NOW + timedelta(seconds=n)) for n in range(LIMIT + 5)]
    assert reached.index(True) == LIMIT - 1
    assert sum(reached) == 1
    assert tested.is_limited("192.0.2.1", NOW + timedelta(minutes=1))
    assert not tested.is_limited("192.0.2.2", NOW + timedelta(minutes=1))
    assert not tested.is_limited("192.0.2.1", NOW + WINDOW + timedelta(minutes=1))


def test_a_customers_ipv6_network_is_one_host() -> None:
    """Each question would come from another address."""
    tested = Suspicion()
    for n in range(LIMIT):
        tested.note(f"2001:db8:1:2::{n:x}", NOW)
    assert tested.is_limited("2001:db8:1:2:ffff::1", NOW)
    assert not tested.is_limited("2001:db8:1:3::1", NOW)


def test_the_memory_is_bounded() -> None:
    """Mail from everywhere would fill the memory."""
    tested = Suspicion()
    for n in range(MAXIMUM_ORIGINS + 10):
        tested.note(f"host{n}", NOW)
    assert len(tested._failures) == MAXIMUM_ORIGINS


async def test_a_prober_learns_nothing_from_the_time_of_the_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that come sooner for one kind of failure are a padding oracle (Vaudenay, 2002)."""
    monkeypatch.setattr(suspicion, "LIMIT", 3)
    monkeypatch.setattr(gateway, "PACE", 0.4)
    desk = Desk(tmp_path, "", facts(openers=[ALICE], anchors={THEIRS: ANCHORS}))
    stranger = SessionInfo("both", "192.0.2.9", 4711)

    async def timed(content: bytes, session: SessionInfo = stranger) -> float:
        clock = asyncio.get_running_loop().time
        started = clock()
        reply = await desk.mail(content, ALICE, sender=BOB, session=session)
        assert reply.code == 250
        return clock() - started

    plain = f"From: {BOB}\r\nTo: {ALICE}\r\n\r\nHi\r\n".encode()
    for _ in range(3):
        assert await timed(sealed(spoiled=True)) < 0.4
    assert [one.name for one in desk.events].count(Name.SENDER_SLOWED) == 1
    for content in (sealed(spoiled=True), sealed(spoiled=False)):
        assert 0.4 <= await timed(content) < 0.8
    assert await timed(plain) < 0.4
    other = SessionInfo("both", "192.0.2.10", 4711)
    assert await timed(sealed(spoiled=False), other) < 0.4
    assert len(desk.submitted.items) == 7
    await desk.close()
