"""Sources outside: asked once, waited for briefly, and never a reason to send in clear."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.peers.name_server import NameServer, Zone
from tests.pki_builder import company, company_root, root, user
from tests.unit.engine.test_gather import Home
from tests.unit.lookup.test_revocation import START
from tests.unit.lookup.test_revocation import World as Issuing
from tests.unit.pki.places import pointing

from gatepost.certificate import Certificate
from gatepost.config.revocation import Revocation
from gatepost.engine.chase import Chase
from gatepost.engine.gather import MAXIMUM_AT_ONCE, Gatherer
from gatepost.engine.journal import Journal
from gatepost.engine.source import FAILURES, KEPT, REST, SILENCE, Ask, Asked, Found, Sources
from gatepost.engine.standing import Standing
from gatepost.errors import LimitExceeded, Malformed, Unavailable
from gatepost.events import Event, Name
from gatepost.flow.fact import CertificateFor
from gatepost.flow.refusal import lacking, unencryptable
from gatepost.lookup import smimea
from gatepost.lookup.issuer import Issuers
from gatepost.lookup.offer import Offer
from gatepost.lookup.resolver import NameServiceFailed, Resolver, ResolverSettings
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import Candidate, Choice, Source
from gatepost.policy.evaluate import evaluate
from gatepost.policy.parse import parse

BOB, EVE = Mailbox.parse("Bob@partner.example"), Mailbox.parse("eve@partner.example")
CERTIFICATE = user("bob@partner.example", "p256").certificate
PLACE = "http://pki.partner.example/ca.cer"


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


def gatherer(
    home: Home,
    *asks: Ask,
    patience: float = 20,
    source: Source = "smimea",
    chase: Chase | None = None,
    standing: Standing | None = None,
) -> Gatherer:
    own = frozenset({"example.com"})
    asked = tuple(Asked(source, source, one) for one in asks)
    made = Sources(asked, own, lambda: home.now, timedelta(seconds=patience))
    return Gatherer(
        home.directory,
        home.vault,
        home.authority,
        domains=own,
        clock=lambda: home.now,
        sources=made,
        chase=chase,
        standing=standing,
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


async def test_each_has_its_share_and_the_dead_are_left_alone(home: Home) -> None:
    """One directory that hangs would take the time of all others, at every mail."""
    events: list[Event] = []
    journal = Journal(lambda: home.now)
    journal.observe(events.append)
    dead, waiting = 0, asyncio.Event()

    async def hangs(_: Mailbox) -> Offer:
        nonlocal dead
        dead += 1
        await waiting.wait()
        return Offer((CERTIFICATE,))

    shelf = Shelf(CERTIFICATE)
    asked = (Asked("ldap", "ldap dead", hangs), Asked("smimea", "smimea", shelf))
    patience = timedelta(seconds=0.6)
    made = Sources(asked, frozenset(), lambda: home.now, patience, journal)

    async def enough(found: tuple[Candidate, ...]) -> bool:
        return bool(found)

    for number in range(FAILURES + 2):
        found = await made.find(Mailbox(f"n{number}", "partner.example"), enough)
        assert [one.source for one in found.candidates] == ["smimea"]
        assert found.unasked.startswith("ldap dead: ")
    assert dead == FAILURES
    assert "left alone for a while, no answer in 0.3 s" in found.unasked
    home.now += REST
    waiting.set()
    found = await made.find(Mailbox("later", "partner.example"), enough)
    assert [one.source for one in found.candidates] == ["ldap"]
    told = [(one.name, one.fields["source"]) for one in events]
    assert told == [(Name.SOURCE_SKIPPED, "ldap dead"), (Name.SOURCE_BACK, "ldap dead")]


async def test_what_is_no_use_is_not_enough(home: Home) -> None:
    """An expired certificate in the first directory would hide the good one in the next."""
    old = company().user("bob@partner.example", kind="p256", not_after=home.now - timedelta(days=1))
    stranger = company().user("eve@partner.example", kind="p256")
    first, second = Shelf(old.certificate, stranger.certificate), Shelf(CERTIFICATE)
    home.directory.add_partner("partner.example", [company_root().certificate], now=home.now)
    home.directory.add_certificate(company().certificate, (), now=home.now)
    gather = gatherer(home, first, second, source="ldap")
    found = await choice(gather)
    assert (found.chosen, found.source) == (CERTIFICATE, "ldap")
    said = {one.certificate: one.reason for one in found.rejected}
    assert "expired" in said[old.certificate]
    assert "not issued to Bob@partner.example" in said[stranger.certificate]


async def test_a_key_found_outside_is_watched(home: Home) -> None:
    """Whoever can write to a directory would get the mail, and nobody would hear of it."""
    shelf = Shelf(CERTIFICATE)
    gather = gatherer(home, shelf)
    first = await choice(gather)
    assert first.known is not None
    assert first.changes == ()
    home.directory.known_keys.remember(BOB, first.known, now=home.now)
    other = root("Other").user("bob@partner.example", kind="p256")
    shelf.held = (other.certificate,)
    home.now += KEPT
    second = await choice(gather)
    assert second.chosen == other.certificate
    assert "its issuer is now" in second.changes[0]


async def test_what_was_revoked_is_not_used(tmp_path: Path, home: Home) -> None:
    """A directory goes on offering a certificate whose key was stolen."""
    world = Issuing(tmp_path)
    bob = Mailbox.parse("bob@partner.example")
    bad, good = (world.ca.issue(bob, "encrypt", START) for _ in range(2))
    world.ca.revoke(bad, "keyCompromise", START)
    home.directory.add_partner("partner.example", [world.ca.root], now=START)
    home.directory.add_certificate(world.ca.issuing, (), now=START)
    home.now = world.now = START + timedelta(hours=1)
    stands = Standing(world.revocations, Revocation(outbound="hard"))
    found = await choice(gatherer(home, Shelf(bad, good), source="ldap", standing=stands))
    assert found.chosen == good
    assert [one.certificate for one in found.rejected] == [bad]
    assert "revoked" in found.rejected[0].reason
    assert found.rejected[0].source == "ldap"


async def test_many_recipients_wait_together(home: Home) -> None:
    """A mail to a hundred people would take a hundred times as long as one to one."""
    everybody = asyncio.Barrier(MAXIMUM_AT_ONCE)

    async def together(_: Mailbox) -> Offer:
        await everybody.wait()
        return Offer((CERTIFICATE,))

    gather = gatherer(home, together)
    people = [Mailbox(f"p{n}", "partner.example") for n in range(MAXIMUM_AT_ONCE)]
    answers = await gather(frozenset(map(CertificateFor, people)))
    assert len(answers) == MAXIMUM_AT_ONCE
    assert all(isinstance(one, Choice) and one.chosen for one in answers.values())


async def test_only_the_domains_it_knows(home: Home) -> None:
    """Every directory would hear whom all our people write to."""
    shelf = Shelf(CERTIFICATE)
    asked = Asked("ldap", "ldap", shelf, domains=frozenset({"other.example"}))
    made = Sources((asked,), frozenset(), lambda: home.now, timedelta(seconds=20))

    async def enough(_: tuple[Candidate, ...]) -> bool:
        return True

    assert await made.find(BOB, enough) == Found()
    assert shelf.asked == 0


async def test_what_it_says_wrong_is_told(home: Home) -> None:
    """Mail would be tried for days because a directory holds a photograph for a certificate."""
    shelf = Shelf()
    shelf.fault = LimitExceeded("it sends more than 4096 octets")
    found = await choice(gatherer(home, shelf))
    assert (found.unasked, found.remarks) == ("", ("smimea: it sends more than 4096 octets",))
    assert "more than 4096 octets" in lacking(found)
    shelf.fault = Malformed("it does not speak LDAP")
    home.now += KEPT
    found = await choice(gatherer(home, shelf))
    assert (found.unasked, found.remarks) == ("smimea: it does not speak LDAP", ())
    shelf.fault = RuntimeError("a fault of ours")
    home.now += KEPT
    assert "a fault of ours" in (await choice(gatherer(home, shelf))).unasked


async def test_an_issuer_is_fetched_and_kept(home: Home) -> None:
    """A directory that holds certificates without their issuers would be of no use."""
    home.directory.add_partner("partner.example", [company_root().certificate], now=home.now)

    bob = pointing(CERTIFICATE, company(), PLACE)

    async def fetch(url: str, maximum: int, *, body: bytes = b"", kind: str = "") -> bytes:
        assert url == PLACE
        return company().certificate.der

    without = await choice(gatherer(home, Shelf(bob), source="ldap"))
    assert without.chosen is None
    assert "of its issuer 'CN=Example Issuing CA' is not known" in without.rejected[0].reason
    for keeps in (False, True):
        chase = Chase(home.directory, lambda: home.now, Issuers(fetch, lambda: home.now, 20), keeps)
        found = await choice(gatherer(home, Shelf(bob), source="ldap", chase=chase))
        assert found.chosen == bob
        assert bool(home.directory.find("Example Issuing CA")) is keeps
    assert (await choice(gatherer(home, Shelf(bob), source="ldap"))).chosen == bob
    assert company().certificate not in home.directory.anchors_for("partner.example").roots


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
        assert await smimea.certificates(asks, BOB) == Offer((CERTIFICATE,))
        found = await smimea.certificates(asks, EVE)
        assert found == Offer(remarks=("its record is no whole certificate of usage 3",))
        found = await smimea.certificates(asks, Mailbox("bob", "plain.example"))
        assert found == Offer(remarks=("its record is not proven by DNSSEC",))
        with pytest.raises(NameServiceFailed):
            await smimea.certificates(asks, Mailbox("bob", "forged.example"))
