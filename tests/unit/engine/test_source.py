"""Sources outside: asked once, waited for briefly, and never a reason to send in clear."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.peers.name_server import NameServer, Zone
from tests.pki_builder import user
from tests.unit.engine.test_gather import Home

from gatepost.certificate import Certificate
from gatepost.engine.gather import Gatherer
from gatepost.engine.source import KEPT, SILENCE, Ask, Asked, Sources
from gatepost.errors import Unavailable
from gatepost.flow.fact import CertificateFor
from gatepost.flow.refusal import unencryptable
from gatepost.lookup import smimea
from gatepost.lookup.offer import Offer
from gatepost.lookup.resolver import NameServiceFailed, Resolver, ResolverSettings
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import Choice
from gatepost.policy.evaluate import evaluate
from gatepost.policy.parse import parse

BOB, EVE = Mailbox.parse("Bob@partner.example"), Mailbox.parse("eve@partner.example")
CERTIFICATE = user("bob@partner.example").certificate


@pytest.fixture
def home(tmp_path: Path, now: datetime) -> Home:
    """A company."""
    return Home(tmp_path, now)


class Shelf:
    """A source that counts who asks."""

    def __init__(self, *held: Certificate) -> None:
        self.held, self.asked = held, 0
        self.fault: Exception | None = None

    async def __call__(self, _: Mailbox) -> Offer:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return Offer(self.held)


def gatherer(home: Home, *asks: Ask, patience: float = 20) -> Gatherer:
    own = frozenset({"example.com"})
    asked = tuple(Asked("smimea", "smimea", one) for one in asks)
    made = Sources(asked, own, lambda: home.now, timedelta(seconds=patience))
    return Gatherer(
        home.directory,
        home.vault,
        home.authority,
        domains=own,
        clock=lambda: home.now,
        sources=made,
    )


async def choice(gather: Gatherer, mailbox: Mailbox = BOB) -> Choice:
    answer = (await gather(frozenset({CertificateFor(mailbox)})))[CertificateFor(mailbox)]
    assert isinstance(answer, Choice)
    return answer


async def test_found_outside(home: Home) -> None:
    """The second source is asked when the first has nothing; the record names the source."""
    empty, full = Shelf(), Shelf(CERTIFICATE)
    gather = gatherer(home, empty, full)
    found = await choice(gather)
    assert (found.chosen, found.source) == (CERTIFICATE, "smimea")
    home.now += timedelta(minutes=5)
    await choice(gather)
    assert (empty.asked, full.asked) == (1, 1)


async def test_nothing_is_remembered_for_a_while(home: Home) -> None:
    """Each mail to somebody without certificate would ask the world."""
    shelf = Shelf()
    gather = gatherer(home, shelf)
    for _ in range(3):
        home.now += timedelta(minutes=2)
        assert (await choice(gather)).chosen is None
    assert shelf.asked == 1
    home.now += KEPT
    await choice(gather)
    assert shelf.asked == 2


async def test_who_does_not_answer_is_waited_for(home: Home) -> None:
    """451, not 550 and never clear: the certificate may be there the next minute."""

    async def never(_: Mailbox) -> Offer:
        await asyncio.Event().wait()
        return Offer()

    found = await choice(gatherer(home, never, patience=0.05))
    assert found.unasked == "smimea: no answer in 0.05 s"
    policy = parse('[defaults]\nencrypt = "mandatory"\n', "policy")
    wish = evaluate(policy, None, BOB)
    refused = unencryptable({BOB: found}, {BOB: wish})
    assert (refused.code, refused.status) == (451, "4.4.0")
    assert "cannot be looked up now" in refused.text
    assert unencryptable({BOB: Choice(None)}, {BOB: wish}).code == 550


async def test_trouble_is_forgotten_soon(home: Home) -> None:
    """A source that was away must not be away for an hour."""
    shelf = Shelf(CERTIFICATE)
    shelf.fault = Unavailable("down")
    gather = gatherer(home, shelf)
    assert (await choice(gather)).unasked == "smimea: down"
    shelf.fault = None
    home.now += SILENCE
    assert (await choice(gather)).chosen == CERTIFICATE


@pytest.mark.peer("unbound")
async def test_smimea_from_a_signed_zone(tmp_path: Path) -> None:
    """RFC 8162: what DNSSEC proves is taken, and nothing else."""
    record = f"SMIMEA 3 0 0 {CERTIFICATE.der.hex()}"
    label = smimea.names(EVE)[0].removesuffix(".partner.example")
    named = smimea.names(BOB)
    assert named[0] != named[1]
    assert all(len(one.partition(".")[0]) == 56 for one in named)
    bob = named[1].removesuffix(".partner.example")
    signed = [f"{bob} {record}", f"{label} SMIMEA 3 0 1 {CERTIFICATE.fingerprint}"]
    zones = [
        Zone("partner.example", signed),
        Zone("plain.example", [f"{bob} {record}"], signed=False),
        Zone("forged.example", [f"{bob} {record}"], forged={CERTIFICATE.der.hex()[-16:]: "0" * 16}),
    ]
    with NameServer(tmp_path / "dns", zones) as server:
        asks = Resolver(ResolverSettings((("127.0.0.1", server.port),), trust=True))
        assert await smimea.certificates(asks, BOB) == (CERTIFICATE,)
        assert await smimea.certificates(asks, EVE) == ()  # a digest is no certificate
        assert await smimea.certificates(asks, Mailbox("bob", "plain.example")) == ()
        with pytest.raises(NameServiceFailed):
            await smimea.certificates(asks, Mailbox("bob", "forged.example"))
