"""The flow's questions answered from a real directory, vault and authority."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from tests.pki_builder import company, company_root

from gatepost.engine.gather import MEMORY, Gatherer
from gatepost.engine.source import Found, Sources
from gatepost.enrol.local import RENEWED, LocalAuthority
from gatepost.errors import Unavailable
from gatepost.flow.fact import (
    CertificateFor,
    CorrespondentFor,
    DecryptorsFor,
    SignerAnswer,
    SignerFor,
    SignersOf,
)
from gatepost.mail.address import Mailbox
from gatepost.pki.choose import Choice
from gatepost.smime.correspondent import Correspondent, Lesson
from gatepost.store.directory import Directory
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer

ALICE, BOB = Mailbox.parse("alice@example.com"), Mailbox.parse("bob@partner.example")


class Home:
    """A company's stores and a clock to turn."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.now = now
        self.directory = Directory(folder / "directory.db")
        self.vault = Vault(self.directory, Sealer(Kek(b"k" * 32), "private-key"))
        self.authority = LocalAuthority.create(
            self.directory, self.vault, "Example", ["example.com"], user_key="p256", now=now
        )

    def gatherer(self, *, read_only: bool = False, sources: Sources | None = None) -> Gatherer:
        """A gatherer over these stores."""
        return Gatherer(
            self.directory,
            self.vault,
            self.authority,
            domains=frozenset({"example.com"}),
            clock=lambda: self.now,
            read_only=read_only,
            sources=sources,
        )


@pytest.fixture
def home(tmp_path: Path, now: datetime) -> Iterator[Home]:
    """A company."""
    found = Home(tmp_path, now)
    yield found
    found.directory.close()


async def signer(gather: Gatherer, mailbox: Mailbox) -> SignerAnswer:
    """Ask for a signer."""
    answer = (await gather(frozenset({SignerFor(mailbox)})))[SignerFor(mailbox)]
    assert isinstance(answer, SignerAnswer)
    return answer


async def test_first_mail_enrols_its_author(home: Home) -> None:
    """Employees would have to install certificates by hand."""
    answer = await signer(home.gatherer(), ALICE)
    assert answer.signer is not None
    assert answer.signer.certificate.emails == ("alice@example.com",)
    assert [one.key_usage for one in answer.certificates] == [frozenset({"key_agreement"})]
    again = await signer(home.gatherer(), ALICE)
    assert again.signer is not None
    assert again.signer.certificate == answer.signer.certificate


async def test_strangers_are_never_enrolled(home: Home) -> None:
    """Anybody could have our CA vouch for him."""
    answer = await signer(home.gatherer(), BOB)
    assert answer.signer is None
    assert home.directory.find(address=BOB) == ()


async def test_explain_changes_nothing(home: Home) -> None:
    """Asking why would issue certificates."""
    before = home.directory.generation()
    gather = home.gatherer(read_only=True)
    answer = await signer(gather, ALICE)
    assert answer.signer is not None  # decided as the live path would
    assert gather.rehearsed == {ALICE}
    assert home.directory.keys_for(ALICE) == ()
    assert home.directory.generation() == before


async def test_signer_is_renewed_before_it_ends(home: Home) -> None:
    """Mail would be deferred on the day a certificate runs out."""
    gather = home.gatherer()
    first = await signer(gather, ALICE)
    assert first.signer is not None
    home.now = first.signer.certificate.not_after - RENEWED + timedelta(days=1)
    second = await signer(gather, ALICE)
    assert second.signer is not None
    assert second.signer.certificate.not_after > first.signer.certificate.not_after


async def test_a_new_certificate_counts_at_once(home: Home, now: datetime) -> None:
    """What another process or the administrator adds would wait for a restart."""
    gather, fact = home.gatherer(), CertificateFor(BOB)
    before = (await gather(frozenset({fact})))[fact]
    assert isinstance(before, Choice)
    assert before.chosen is None
    bob = company().user("bob@partner.example", kind="p256", purpose="encrypt")
    home.directory.add_partner("partner.example", [company_root().certificate], now=now)
    home.directory.learn(bob.certificate, BOB, issuers=[company().certificate], now=now)
    home.directory.note(Lesson(BOB, now, frozenset({"aes256-gcm"})), now=now)
    after = (await gather(frozenset({fact})))[fact]
    assert isinstance(after, Choice)
    assert after.chosen == bob.certificate
    software = CorrespondentFor(BOB)
    known = (await gather(frozenset({software})))[software]
    assert isinstance(known, Correspondent)
    assert known.announced == frozenset({"aes256-gcm"})


async def test_answers_are_remembered_for_a_minute(home: Home) -> None:
    """Every mail would cost a look-up, or an expired certificate would be used for ever."""
    gather, fact = home.gatherer(), CertificateFor(BOB)
    answer = (await gather(frozenset({fact})))[fact]
    assert (await gather(frozenset({fact})))[fact] is answer
    home.now += MEMORY
    assert (await gather(frozenset({fact})))[fact] is not answer


async def test_what_is_at_hand_needs_no_waiting(home: Home) -> None:
    """Each RCPT would cost a task, or get an answer that counts no more."""
    gather, facts = home.gatherer(), frozenset({CertificateFor(BOB)})
    assert gather.at_hand(facts) is None
    answers = await gather(facts)
    assert gather.at_hand(facts) == answers
    assert gather.at_hand(facts | {SignersOf(BOB)}) is None
    home.now += MEMORY
    assert gather.at_hand(facts) is None
    await signer(gather, ALICE)
    assert gather.at_hand(frozenset({SignerFor(ALICE)})) is None  # revocation may be stapled to it


async def test_answers_overtaken_while_they_are_looked_for_are_not_kept(home: Home) -> None:
    """A slow directory's answer would hide for a minute what an administrator did meanwhile."""
    fact = CertificateFor(BOB)
    bob = company().user("bob@partner.example", kind="p256", purpose="encrypt")

    class Slow:
        async def find(self, _mailbox: Mailbox, _enough: object) -> Found:
            known, issuers = home.directory, [company().certificate]
            known.add_partner("partner.example", [company_root().certificate], now=home.now)
            known.learn(bob.certificate, BOB, issuers=issuers, now=home.now)
            await gather(frozenset({SignersOf(BOB)}))  # another mail's question sees the change
            return Found()

    gather = home.gatherer(sources=cast("Sources", Slow()))
    first = (await gather(frozenset({fact})))[fact]
    assert isinstance(first, Choice)
    assert first.chosen is None
    again = (await gather(frozenset({fact})))[fact]
    assert isinstance(again, Choice)
    assert again.chosen == bob.certificate


async def test_only_our_people_have_decryptors(home: Home) -> None:
    """Mail for a stranger would be opened with a key filed for him."""
    await signer(home.gatherer(), ALICE)
    gather = home.gatherer()
    facts = frozenset({DecryptorsFor(ALICE), DecryptorsFor(BOB)})
    answers = await gather(facts)
    assert len(answers[DecryptorsFor(ALICE)]) == 2  # type: ignore[arg-type]  # a tuple of keys
    assert answers[DecryptorsFor(BOB)] == ()


async def test_who_cannot_be_certified(home: Home) -> None:
    """Policy could not say that such an author's mail leaves unsigned: it would be refused."""
    gather = home.gatherer()
    answer = await signer(gather, Mailbox.parse("jörg@example.com"))
    assert answer.signer is None
    assert "non-ASCII" in answer.reason
    assert not gather._enrolling


async def test_a_renewal_that_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """All mail would stop a month before the certificate ends."""
    gather = home.gatherer()
    first = await signer(gather, ALICE)
    assert first.signer is not None
    home.now = first.signer.certificate.not_after - RENEWED + timedelta(days=1)

    def ensure(*_: object) -> None:
        raise Unavailable("the issuing CA has expired")

    monkeypatch.setattr(LocalAuthority, "ensure", ensure)
    second = await signer(gather, ALICE)
    assert second.signer is not None
    assert second.signer.certificate == first.signer.certificate


async def test_an_enrolment_that_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mail would leave unsigned because a database was locked, and memory would fill with locks."""

    def ensure(*_: object) -> None:
        raise Unavailable("locked")

    monkeypatch.setattr(LocalAuthority, "ensure", ensure)
    gather = home.gatherer()
    with pytest.raises(Unavailable):
        await signer(gather, ALICE)
    assert not gather._enrolling


async def test_many_first_mails_at_once(home: Home) -> None:
    """An author would get a certificate for each of them."""
    gather = home.gatherer()
    answers = await asyncio.gather(*(signer(gather, ALICE) for _ in range(8)))
    assert len({one.signer.certificate for one in answers if one.signer}) == 1
    assert len(home.directory.keys_for(ALICE)) == 2
