"""Mail that waits for a key: kept in nobody's sight, told of once, sent by itself."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.unit.engine.desk import Desk
from tests.unit.store.box import raw
from tests.world import THEIRS, facts

from gatepost.cms.enveloped import recipients as named
from gatepost.engine.delivery import Delivery, DeliverySettings
from gatepost.engine.waiting import PAUSE, Waiting
from gatepost.events import Name
from gatepost.flow.fact import Answers, Fact
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Content, join
from gatepost.mail.delivery import Attempt, NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.policy.parse import parse
from gatepost.smime import layers
from gatepost.store.queue_control import Control

BOB, CAROL, ALICE = f"bob@{THEIRS}", f"carol@{THEIRS}", "alice@xyz.example"
WAIT = '[defaults]\nencrypt = "mandatory"\nunencryptable = "wait"\n'
SECRET = b"The price is 2.4 million, not a penny less."
MAIL = (
    b"From: alice@xyz.example\r\nTo: bob@partner.example\r\nBcc: carol@partner.example\r\n"
    b"Subject: [secure] Offer\r\nMessage-ID: <1@xyz.example>\r\n\r\n" + SECRET + b"\r\n"
)
DAY = timedelta(days=1)


class Room:
    """A gateway and the one who looks at what waits."""

    def __init__(self, desk: Desk, *, soft: bool = False) -> None:
        self.desk = desk
        self.generation = 0
        self.looked = 0
        self.waiting = Waiting(
            desk.queue,
            desk.context,
            self._gather,
            lambda: self.generation,
            desk.routes,
            desk.bouncer,
            desk.journal,
            timedelta(days=5),
            soft,
        )

    async def _gather(self, wanted: frozenset[Fact]) -> Answers:
        self.looked += len(wanted)
        return await self.desk.gather(wanted)

    def learn(self, *addresses: str) -> None:
        """Certificates become known."""
        known = facts(readers=addresses, signers=[ALICE])
        self.desk.world.facts = {**self.desk.world.facts, **known}
        self.generation += 1

    async def look(self) -> list[tuple[str | None, list[str], bytes]]:
        """Look once; what leaves, as (return path, recipients, content)."""
        self.desk.submitted.items.clear()
        await self.waiting.look(self.desk.submitted.submit)
        await self.desk.queue.flush()
        return sent(self.desk)


def sent(desk: Desk) -> list[tuple[str | None, list[str], bytes]]:
    """What was handed to delivery to be sent."""
    return [
        (
            str(one.envelope.return_path) if one.envelope.return_path else None,
            [str(who) for who in one.envelope.recipients],
            join(one.content),
        )
        for one in desk.submitted.items
        if one.state == "active"
    ]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Room]]:
    """Opens gateways and closes them."""
    opened: list[Desk] = []

    def build(policy: str = WAIT, *, soft: bool = False) -> Room:
        opened.append(Desk(tmp_path, policy, facts(signers=[ALICE])))
        return Room(opened[-1], soft=soft)

    yield build
    for one in opened:
        await one.close()


async def test_kept_told_and_sent_by_itself(make: Callable[..., Room], tmp_path: Path) -> None:
    """Mail without certificate leaves in clear, lies readable on the disk, or for ever."""
    room = make()
    assert (await room.desk.mail(MAIL, BOB)).code == 250
    ((path, to, notice),) = sent(room.desk)
    assert (path, to) == (None, [ALICE])
    assert b"Action: delayed" in notice
    assert b"bob@partner.example" in notice
    assert b"ask the recipient for a signed" in b" ".join(notice.split())
    assert SECRET not in notice
    assert b"Offer" not in notice
    assert SECRET not in raw(tmp_path)
    (item,) = Control(tmp_path).list()[:1]
    assert (item.state, item.undecided, item.protected) == ("waiting", True, True)
    assert "no certificate is known" in item.reason
    assert Name.MESSAGE_WAITING in [one.name for one in room.desk.events]

    assert await room.look() == []
    room.desk.clock.now += PAUSE / 2
    room.learn(BOB)
    ((path, to, octets),) = await room.look()
    assert (path, to) == (ALICE, [BOB])
    assert b"application/pkcs7-mime" in octets
    assert SECRET not in octets
    assert b"[secure]" not in octets
    assert b"carol" not in octets
    header, _, body = octets.partition(b"\r\n\r\n")
    layer = layers.outermost(header + b"\r\n", body)
    assert layer is not None
    assert len(named(layer.octets)) == 1
    assert await room.look() == []
    assert [one.state for one in Control(tmp_path).list() if not one.undecided] == ["active"] * 2
    records = [one.data for one in Control(tmp_path).records(item.queue_id)]
    assert ['"done": "wait"' in one for one in records] == [True, False]
    assert '"done": "sign+encrypt"' in records[1]


async def test_each_recipient_by_himself(make: Callable[..., Room], tmp_path: Path) -> None:
    """One who can be served waits for one who cannot, or is served twice."""
    room = make()
    room.learn(BOB)
    dora = f"dora@{THEIRS}"
    await room.desk.mail(MAIL, BOB, CAROL, dora)
    assert [(path, to) for path, to, _ in sent(room.desk)] == [(ALICE, [BOB]), (None, [ALICE])]
    room.learn(CAROL)
    assert [to for _, to, _ in await room.look()] == [[CAROL]]
    (left,) = [one for one in Control(tmp_path).list() if one.state == "waiting"]
    assert [str(one) for one in left.envelope.recipients] == [dora]
    room.learn(dora)
    assert [to for _, to, _ in await room.look()] == [[dora]]


async def test_nothing_is_read_while_nothing_changed(make: Callable[..., Room]) -> None:
    """A thousand waiting mails are decided anew every five seconds."""
    room = make()
    await room.desk.mail(MAIL, BOB)
    await room.look()
    before = room.looked
    for _ in range(10):
        await room.look()
    assert room.looked == before
    room.learn(CAROL)
    await room.look()
    assert room.looked == before + 1
    room.desk.clock.now += PAUSE
    await room.look()
    assert room.looked > before + 1


async def test_returned_when_too_old(make: Callable[..., Room], tmp_path: Path) -> None:
    """Nobody ever hears that the mail was not sent."""
    room = make()
    await room.desk.mail(MAIL, BOB)
    room.desk.clock.now += 5 * DAY
    ((path, to, notice),) = await room.look()
    assert (path, to) == (None, [ALICE])
    assert b"Action: failed" in notice
    assert b"Status: 4.4.7" in notice
    assert b"no certificate is known" in b" ".join(notice.split())
    assert SECRET not in notice
    assert [one for one in Control(tmp_path).list() if one.state == "waiting"] == []


@pytest.mark.parametrize(("soft", "told"), [(False, 1), (True, 0)])
async def test_a_policy_that_refuses_meanwhile(
    make: Callable[..., Room], tmp_path: Path, *, soft: bool, told: int
) -> None:
    """Mail goes on waiting under a policy that would refuse it, or is lost without a word."""
    room = make(soft=soft)
    await room.desk.mail(MAIL, BOB)
    await room.look()
    room.desk.world.policy = parse('[defaults]\nencrypt = "mandatory"')
    notices = await room.look()
    assert [(path, b"Action: failed" in octets) for path, _, octets in notices] == [
        (None, True)
    ] * told
    waiting = [one for one in Control(tmp_path).list() if one.state == "waiting"]
    assert len(waiting) == 1 - told


async def test_a_mail_that_nobody_can_be_told_of_is_refused(make: Callable[..., Room]) -> None:
    """A bounce waits, expires, and is lost in silence."""
    room = make()
    assert (await room.desk.mail(MAIL, BOB, sender=None)).code == 550
    room.desk.world.policy = parse(WAIT + 'refuse_at = "data"')
    assert (await room.desk.mail(MAIL, BOB, sender=None)).code == 550


@pytest.mark.parametrize(("notify", "told"), [("NEVER", 0), ("FAILURE", 0), ("DELAY", 1)])
async def test_who_wants_to_be_told(make: Callable[..., Room], notify: str, told: int) -> None:
    """RFC 3461: who asked for no report of delays gets none."""
    room = make()
    await room.desk.mail(MAIL, Recipient(Mailbox.parse(BOB), notify))
    assert len(sent(room.desk)) == told


async def test_trouble_of_ours_loses_nothing(make: Callable[..., Room], tmp_path: Path) -> None:
    """A locked vault at the wrong moment ends the waiting, or the looking."""
    room = make()
    await room.desk.mail(MAIL, BOB)
    room.learn(BOB)
    room.desk.fault = ZeroDivisionError()
    assert await room.look() == []
    room.desk.fault = None
    assert await room.look() == []
    room.desk.clock.now += PAUSE
    assert [to for _, to, _ in await room.look()] == [[BOB]]


class Kept:
    """A next hop that keeps what it gets."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def deliver(
        self, _hop: NextHop, envelope: Envelope, content: Content
    ) -> tuple[Attempt, ...]:
        self.mails.append(join(content))
        return tuple(Attempt(one, Reply(250, "", "ok"), "x") for one in envelope.recipients)


async def test_delivery_never_sends_what_is_undecided(
    make: Callable[..., Room], tmp_path: Path
) -> None:
    """Somebody who writes the database, or a fault of ours, sets it active: it leaves in clear."""
    room, kept = make(), Kept()
    await room.desk.mail(MAIL, BOB)
    (item,) = Control(tmp_path).list()[:1]
    room.desk.queue._writer._connect(tmp_path / "0.db").execute("UPDATE item SET state = 'active'")
    delivery = Delivery(
        room.desk.queue,
        kept,
        lambda one: NextHop(one.hop),
        DeliverySettings(look_every=0.01),
        bouncer=room.desk.bouncer,
        journal=room.desk.journal,
        clock=room.desk.clock,
    )
    delivery.submit(room.desk.queue.due(item.hop, room.desk.clock() + DAY, 10))
    await delivery.stop()
    assert [SECRET in one for one in kept.mails] == [False] * len(kept.mails)
    assert Control(tmp_path).show(item.id)[0].state == "waiting"
