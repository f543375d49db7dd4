"""Going live: monitor mode touches nothing, soft_bounce refuses nothing for good."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from tests.conftest import ROOT
from tests.unit.engine.desk import SETTINGS, Desk
from tests.world import ANCHORS, THEIRS, World, facts, octets, only, outgoing

from gatepost.config import parse
from gatepost.engine.service import delivery_settings
from gatepost.errors import ConfigError, Unavailable
from gatepost.events import Name
from gatepost.flow import outbound
from gatepost.flow.retry import Bounce, History, RetryAt, after
from gatepost.mail.content import join
from gatepost.mail.reply import Reply
from gatepost.net.application import SessionInfo
from gatepost.store.queue_control import Control

BOB, CAROL, ALICE = f"bob@{THEIRS}", f"carol@{THEIRS}", "alice@xyz.example"
MANDATORY = '[defaults]\nencrypt = "mandatory"\nrefuse_at = "rcpt"'
# Nothing of this is as we would write it: no empty line, a tag, a Bcc, a field of ours.
ODD = (
    b"From: alice@xyz.example\r\nSubject:  [secure]  x\r\nBcc: carol@partner.example\r\n"
    b"X-Gatepost-Trace: 1; forged\r\nX-Odd:\tone\r\n"
)
Make = Callable[..., Desk]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Opens gateways and closes them."""
    opened: list[Desk] = []

    def build(*args: object, **more: object) -> Desk:
        opened.append(Desk(tmp_path / str(len(opened)), *args, **more))  # type: ignore[arg-type]
        return opened[-1]

    yield build
    for one in opened:
        await one.close()


def monitor(make: Make, policy: str = "", **known: object) -> Desk:
    """A gateway that only watches."""
    return make(policy, facts(**known), monitored=frozenset({"both"}))  # type: ignore[arg-type]


async def test_leaving_mail_passes_octet_for_octet(make: Make, tmp_path: Path) -> None:
    """While somebody only looks, mail is refused, changed, or what would be done is not recorded."""
    desk = monitor(make, MANDATORY)
    reply = await desk.mail(ODD, BOB, CAROL)
    assert reply.code == 250
    (item,) = desk.submitted.items
    assert join(item.content) == ODD
    assert [str(one) for one in item.envelope.recipients] == [BOB, CAROL]
    records = Control(tmp_path / "0").records(item.queue_id)
    assert len(records) == 2
    assert all('"done": "refuse"' in one.data for one in records)
    assert all('"observed": true' in one.data for one in records)
    (accepted,) = [one for one in desk.events if one.name is Name.MESSAGE_ACCEPTED]
    assert accepted.fields["mode"] == "monitor"


async def test_arriving_mail_passes_octet_for_octet(make: Make, tmp_path: Path) -> None:
    """Encrypted mail is opened, or its markers are stripped, before anybody has said yes."""
    theirs = World.under(
        "", facts(modern=[ALICE], signers=[BOB]),
        domains=frozenset({THEIRS}), hostname="gate.them",
    )  # fmt: skip
    mail = f"From: {BOB}\nTo: {ALICE}\nSubject: [signed] x\n\nSecret.\n"
    sent = octets(only(theirs.drive(outgoing(mail, ALICE, sender=BOB), outbound.STAGES)))
    sent = b"Authentication-Results: gate.xyz.example; smime=pass\r\n" + sent
    desk = monitor(make, openers=[ALICE], anchors={THEIRS: ANCHORS})
    stranger = SessionInfo("both", "192.0.2.1", 4711)
    assert (await desk.mail(sent, ALICE, sender=BOB, session=stranger)).code == 250
    (item,) = desk.submitted.items
    assert join(item.content) == sent
    assert item.protected
    (record,) = Control(tmp_path / "0").records(item.queue_id)
    assert '"verdict": "valid"' in record.data


@pytest.mark.parametrize("fault", [Unavailable("the vault is locked"), ZeroDivisionError()])
async def test_watching_stops_no_mail(make: Make, fault: Exception) -> None:
    """A locked vault or a fault of ours keeps mail from people who were promised a look only."""
    desk = monitor(make)
    desk.fault = fault
    assert (await desk.mail(ODD, BOB)).code == 250
    (item,) = desk.submitted.items
    assert join(item.content) == ODD


async def test_monitor_is_no_open_relay_and_no_ring(make: Make) -> None:
    """Strangers send through us to the world, or mail circles between two servers for ever."""
    desk = monitor(make)
    stranger = SessionInfo("both", "192.0.2.1", 4711)
    assert (await desk.mail(ODD, BOB, session=stranger)).code == 550
    ring = b"Received: from a by b; Mon, 1 Jun 2026 12:00:00 +0000\r\n" * 60
    assert (await desk.mail(ring + ODD, BOB)).status == "5.4.6"
    assert desk.submitted.items == []


async def test_soft_bounce_refuses_nothing_for_good(make: Make) -> None:
    """A mistake on the first day bounces the company's mail."""
    desk = make(MANDATORY, soft_bounce=True)
    assert await desk.mail(ODD, BOB) == Reply(
        450, "4.7.1", "bob@partner.example: encryption is mandatory, but no certificate is known"
    )
    at_data = make(MANDATORY.replace('"rcpt"', '"data"'), soft_bounce=True)
    reply = await at_data.mail(b"From: alice@xyz.example\r\n\r\nx\r\n", BOB)
    assert (reply.code, reply.status) == (450, "4.7.1")
    stranger = SessionInfo("both", "192.0.2.1", 4711)
    assert (await desk.mail(ODD, BOB, session=stranger)).code == 450


async def test_soft_bounce_sends_no_notice(make: Make) -> None:
    """Of two recipients one is refused: a notice tells of a failure that was to be none."""
    policy = '[[rule]]\nname = "r"\nto = "carol@partner.example"\nencrypt = "mandatory"\n'
    policy += 'mixed = "deliver-rest"\nrefuse_at = "data"'
    desk = make(policy, facts(signers=[ALICE]), soft_bounce=True)
    mail = b"From: alice@xyz.example\r\n\r\nx\r\n"
    assert (await desk.mail(mail, BOB, CAROL)).code == 450
    assert desk.submitted.items == []
    hard = make(policy, facts(signers=[ALICE]))
    assert (await hard.mail(mail, BOB, CAROL)).code == 250
    assert len(hard.submitted.items) == 2


def test_soft_bounce_retries_what_a_hop_refused() -> None:
    """A next hop that is not set up yet bounces everything."""
    text = SETTINGS.replace("[[listener]]", "soft_bounce = true\n[[listener]]", 1)
    schedule = delivery_settings(parse(text, ROOT / "g.toml")).schedule
    desk = World().now
    history = History("A", desk, 1, Reply(550, "5.1.1", "no such user"))
    assert isinstance(after(history, desk, schedule), RetryAt)
    assert after(history, desk + schedule.maximum_age, schedule) == Bounce("4.4.7", expired=True)


@pytest.mark.parametrize(
    ("gateway", "listener", "monitored"),
    [
        ("", "", []),
        ('mode = "monitor"', "", ["both"]),
        ("", 'mode = "monitor"', ["both"]),
        ('mode = "monitor"', 'mode = "enforce"', []),
    ],
)
def test_where_it_is_set(gateway: str, listener: str, monitored: list[str]) -> None:
    """Somebody enforces for arriving mail first, and leaving mail is treated, too."""
    text = SETTINGS.replace("[[listener]]", f"{gateway}\n[[listener]]\n{listener}", 1)
    found = parse(text, ROOT / "g.toml").monitored
    assert [one.label for one in found] == monitored


def test_a_mode_that_is_none() -> None:
    """A misspelt "monitr" would enforce."""
    text = SETTINGS.replace("[[listener]]", 'mode = "monitr"\n[[listener]]', 1)
    with pytest.raises(ConfigError, match=r"gateway\.mode"):
        parse(text, ROOT / "g.toml")
