"""What a directory's entries say of people's programs is remembered, if it is their own word."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.pki_builder import User, company, company_root, user
from tests.unit.engine.test_gather import Home
from tests.unit.engine.test_source import gatherer
from tests.unit.lookup.test_revocation import World as Issuing

from gatepost.cms import signed
from gatepost.cms.capability import Signer
from gatepost.config.revocation import Revocation
from gatepost.engine.gather import Gatherer
from gatepost.engine.standing import Standing
from gatepost.flow.fact import CertificateFor, CorrespondentFor
from gatepost.lookup.offer import Offer
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.smime.correspondent import Correspondent, Lesson
from gatepost.smime.word import words

BOB = Mailbox.parse("bob@partner.example")
HIS = user("bob@partner.example", "p256")


@pytest.fixture
def home(tmp_path: Path, now: datetime) -> Home:
    """A company that trusts Bob's."""
    made = Home(tmp_path, now)
    made.directory.add_partner("partner.example", [company_root().certificate], now=now)
    return made


class Entry:
    """A directory that has one value for everybody."""

    def __init__(self, signer: Signer, when: datetime, *can: str) -> None:
        made = signed.sign(Octets(b""), [signer], None, detached=True, when=when, capabilities=can)
        bag = signed.parse(join(made))
        self.offer = Offer((signer.certificate,), (*signer.chain,), words=tuple(words(bag)))

    async def __call__(self, _: Mailbox) -> Offer:
        return self.offer


async def asked(gather: Gatherer) -> Correspondent:
    """What is known when the next mail goes to Bob."""
    await gather(frozenset({CertificateFor(BOB)}))
    fact = CorrespondentFor(BOB)
    found = (await gather(frozenset({fact})))[fact]
    assert isinstance(found, Correspondent)
    return found


async def test_it_is_remembered(home: Home, now: datetime) -> None:
    """Who never wrote to us would get what was usual in 2005."""
    known = await asked(gatherer(home, Entry(HIS.signer, now, "aes256-gcm"), source="ldap"))
    assert known.announced == {"aes256-gcm"}
    assert known.because("aes256-gcm") == f"announced it on {now:%Y-%m-%d}"
    assert home.directory.correspondent(BOB).announced == {"aes256-gcm"}


async def test_only_the_newest_word_counts(home: Home, now: datetime) -> None:
    """A directory that nobody cares for would undo what his mail said yesterday."""
    home.directory.note(Lesson(BOB, now, frozenset({"aes128-gcm"})), now=now)
    old = Entry(HIS.signer, now - timedelta(days=300), "aes256-gcm")
    assert (await asked(gatherer(home, old, source="ldap"))).announced == {"aes128-gcm"}
    home.now = now + timedelta(days=2)
    new = Entry(HIS.signer, now + timedelta(days=1), "aes256-gcm")
    assert (await asked(gatherer(home, new, source="ldap"))).announced == {"aes256-gcm"}


@pytest.mark.parametrize(
    "who",
    [user("eve@partner.example", "p256"), company("Stranger").user("bob@partner.example")],
)
async def test_nobody_speaks_for_him(home: Home, now: datetime, who: User) -> None:
    """Whoever runs a directory could weaken what is written to people in it."""
    entry = Entry(who.signer, now, "aes256-cbc")
    entry.offer = Offer((HIS.certificate,), HIS.chain, words=entry.offer.words)
    assert await asked(gatherer(home, entry, source="ldap")) == Correspondent()


async def test_explain_remembers_nothing(home: Home, now: datetime) -> None:
    """Asking what would happen must not change it."""
    gather = gatherer(home, Entry(HIS.signer, now, "aes256-gcm"), source="ldap")
    gather._read_only = True
    assert await asked(gather) == Correspondent()


@pytest.mark.parametrize("revoked", [False, True])
async def test_a_stolen_key_says_nothing(home: Home, tmp_path: Path, *, revoked: bool) -> None:
    """Its thief would choose how mail to its owner is encrypted."""
    (tmp_path / "issuing").mkdir()
    world = Issuing(tmp_path / "issuing")
    home.now = world.now
    signer = world.ca.ensure(BOB, world.now).signer
    home.directory.add_partner("partner.example", [world.ca.root], now=world.now)
    if revoked:
        world.ca.revoke(signer.certificate, "keyCompromise", world.now)
    entry = Entry(signer, world.now, "aes256-gcm")
    standing = Standing(world.revocations, Revocation())
    known = await asked(gatherer(home, entry, source="ldap", standing=standing))
    await world.revocations.settle()
    assert known.announced == (set() if revoked else {"aes256-gcm"})
