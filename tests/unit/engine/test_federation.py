"""Two gateways that never met: what one announces the other takes in, and nothing else."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from gatepost.engine import federation as module
from gatepost.engine.federation import HOUR, PEERS, TROUBLE, Federation, peer_of, pin
from gatepost.engine.gather import Gatherer
from gatepost.engine.journal import Journal
from gatepost.enrol.announcer import LIFE, RENEWED, Announcer
from gatepost.enrol.local import LocalAuthority
from gatepost.errors import Malformed, Refused, Unavailable
from gatepost.flow.fact import AnchorsFor, CertificateFor, CorrespondentFor
from gatepost.lookup.page import Fetched, Page
from gatepost.mail.address import Mailbox
from gatepost.pki import announcement
from gatepost.pki.choose import Choice
from gatepost.smime.correspondent import Correspondent
from gatepost.store.directory import Directory
from gatepost.store.register import Register
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer

BOB = Mailbox.parse("bob@b.example")


class Company:
    """A directory with a CA and a voice, and a clock to turn."""

    def __init__(self, folder: Path, domain: str, now: datetime) -> None:
        self.now = now
        self.directory = Directory(folder / f"{domain}.db")
        self.vault = Vault(self.directory, Sealer(Kek(b"k" * 32), "private-key"))
        self.authority = LocalAuthority.create(
            self.directory, self.vault, domain, [domain], user_key="p256", now=now
        )
        self.register = Register(self.directory._database)
        self.announcer = Announcer(self.authority, self.register)
        self.domain = domain

    def document(self) -> str:
        return self.announcer.document(self.domain, self.now)


class Wire:
    """The other company's web server, which may lie, be slow or be away."""

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, 0
        self.fault: Exception | None = None
        self.slow = False

    async def __call__(self, page: Page) -> Fetched:
        assert page == Page(
            "b.example", "/.well-known/gatepost/b.example.json", page.kinds, page.maximum
        )
        self.asked += 1
        if self.slow:
            await asyncio.Event().wait()
        if self.fault is not None:
            raise self.fault
        return Fetched(self.text.encode(), authentic=False)


@pytest.fixture
def us(tmp_path: Path, now: datetime) -> Iterator[Company]:
    """The company that asks."""
    found = Company(tmp_path, "a.example", now)
    yield found
    found.directory.close()


@pytest.fixture
def them(tmp_path: Path, now: datetime) -> Iterator[Company]:
    """The company that announces."""
    found = Company(tmp_path, "b.example", now)
    yield found
    found.directory.close()


def federation(us: Company, wire: Wire | None, patience: float = 20) -> Federation:
    return Federation(
        us.register,
        frozenset({"a.example"}),
        lambda: us.now,
        fetch=wire,
        patience=timedelta(seconds=patience),
        journal=Journal(lambda: us.now),
    )


def gatherer(us: Company, made: Federation) -> Gatherer:
    domains = frozenset({"a.example"})
    return Gatherer(
        us.directory,
        us.vault,
        us.authority,
        domains=domains,
        clock=lambda: us.now,
        federation=made,
    )


async def choice(gather: Gatherer, mailbox: Mailbox = BOB) -> Choice:
    answer = (await gather(frozenset({CertificateFor(mailbox)})))[CertificateFor(mailbox)]
    assert isinstance(answer, Choice)
    return answer


async def test_first_mail_is_encrypted_to_the_domain(us: Company, them: Company) -> None:
    """Nobody does anything; the record says where the certificate is from."""
    wire = Wire(them.document())
    found = await choice(gatherer(us, federation(us, wire)))
    assert found.chosen == them.directory.enrolled("@b.example", "encrypt")
    assert (found.domain, found.source) == (True, "federation")
    assert wire.asked == 1


async def test_anchors_count_for_their_domain_only(us: Company, them: Company) -> None:
    """Else any company with a web server could sign as any other."""
    gather = gatherer(us, federation(us, Wire(them.document())))
    own, other = AnchorsFor("b.example"), AnchorsFor("a.example")
    answers = await gather(frozenset({own, other}))
    assert them.authority.root in getattr(answers[own], "roots")  # noqa: B009
    assert them.authority.root not in getattr(answers[other], "roots")  # noqa: B009
    known = (await gather(frozenset({CorrespondentFor(BOB)})))[CorrespondentFor(BOB)]
    assert isinstance(known, Correspondent)
    assert known.reads("aes256-gcm")


async def test_strangers_are_asked_in_measure(
    us: Company, them: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever signs as a thousand domains of his would fill the directory with them."""
    monkeypatch.setattr(module, "STRANGERS_AN_HOUR", 0)
    wire = Wire(them.document())
    made = federation(us, wire)
    await gatherer(us, made)(frozenset({AnchorsFor("b.example")}))
    assert (wire.asked, us.register.named(PEERS)) == (0, {})
    monkeypatch.setattr(module, "STRANGERS_AN_HOUR", 1)
    monkeypatch.setattr(module, "MAXIMUM_PINNED", 0)
    await made.meet("b.example", wrote=True)
    assert wire.asked == 0
    monkeypatch.setattr(module, "MAXIMUM_PINNED", 1)
    await made.meet("b.example", wrote=True)
    assert wire.asked == 0, "this hour's one was asked about"
    us.now += HOUR
    await made.meet("b.example", wrote=True)
    assert wire.asked == 1


async def test_whom_we_write_to_is_always_asked(
    us: Company, them: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strangers that fill the measure would turn our encryption off."""
    monkeypatch.setattr(module, "STRANGERS_AN_HOUR", 0)
    monkeypatch.setattr(module, "MAXIMUM_PINNED", 0)
    found = await choice(gatherer(us, federation(us, Wire(them.document()))))
    assert found.source == "federation"


async def test_a_lie_changes_nothing(us: Company, them: Company) -> None:
    """A changed document, an old one and another key's are refused; what was pinned stays."""
    old = them.document()
    them.now = us.now = us.now + RENEWED + timedelta(hours=1)
    wire = Wire(them.document())
    assert old != wire.text
    made = federation(us, wire)
    await made.meet("b.example")
    pinned = peer_of(us.register, "b.example")
    assert pinned is not None
    us.now += timedelta(days=2)
    for lie in (old, old.replace("payload", "payloads"), "<html>", _by_a_stranger(them)):
        wire.text = lie
        await made.meet("b.example")
        await asyncio.gather(*made._asking.values())
        assert peer_of(us.register, "b.example") == pinned
        us.now += TROUBLE + timedelta(minutes=1)
    assert wire.asked == 5
    with pytest.raises(Refused, match="plays an old one back"):
        pin(us.register, "b.example", old, us.now, evidence="file")


def _by_a_stranger(them: Company) -> str:
    stranger = Register(them.directory._database)
    stranger.swap("federation.keys", stranger.read("federation.keys"), None)
    return them.document()


async def test_what_expired_counts_no_more(us: Company, them: Company) -> None:
    """A domain that went away must not be believed for ever; nor may mail to it wait for ever."""
    wire = Wire(them.document())
    made = federation(us, wire)
    assert (await choice(gatherer(us, made))).chosen is not None
    us.now += LIFE
    wire.fault = Unavailable("gone")
    assert (await choice(gatherer(us, made))).chosen is None
    assert made.anchors("b.example", us.directory.anchors_for("b.example")).roots == (
        us.directory.anchors_for("b.example").roots
    )


async def test_silence_is_remembered(us: Company) -> None:
    """Every mail to a domain without announcement would cost a look-up."""
    wire = Wire("")
    wire.fault = Unavailable("404")
    made = federation(us, wire)
    for _ in range(3):
        await made.meet("b.example")
        await made.meet("a.example")  # our own: never
    assert wire.asked == 1


async def test_a_slow_server_holds_up_nobody(us: Company, them: Company) -> None:
    """A server that accepts and says nothing would stop all mail to and from its domain."""
    wire = Wire(them.document())
    wire.slow = True
    made = federation(us, wire, 0.05)
    async with asyncio.timeout(60):
        await asyncio.gather(*(made.meet("b.example") for _ in range(20)))
    assert wire.asked == 1
    await made.close()


def test_document_is_made_anew_when_there_is_something_to_say(them: Company) -> None:
    """A number for every change, and none without."""
    first = them.document()
    them.now += timedelta(days=1)
    assert them.document() == first
    them.authority.renew_issuing(them.now)
    second = them.document()
    assert announcement.read(second).announcement.sequence > (
        announcement.read(first).announcement.sequence
    )
    them.now += RENEWED
    assert them.document() != second
    with pytest.raises(Refused, match="not a domain of ours"):
        them.announcer.document("c.example", them.now)


def test_replaced_key_is_followed(us: Company, them: Company) -> None:
    """Rotating the key must not strand the partners who know the old one."""
    pin(us.register, "b.example", them.document(), us.now, evidence="https")
    thumbprint = them.announcer.replace_key(them.now)
    _, peer = pin(us.register, "b.example", them.document(), us.now, evidence="https")
    assert peer.announcement.key == thumbprint


def test_two_nodes_never_use_a_number_twice(us: Company) -> None:
    """Partners would take it for a forgery."""
    register = us.register
    assert register.swap("x", None, "1")
    assert not register.swap("x", None, "2")
    assert not register.swap("x", "2", "3")
    assert register.swap("x", "1", "2")
    assert register.named("x") == {"x": "2"}
    assert register.swap("x", "2", None)
    assert register.read("x") is None


def test_damaged_record_is_told_apart(us: Company) -> None:
    """One sentence instead of a traceback when the database holds nonsense."""
    us.register.swap(PEERS + "b.example", None, json.dumps({"domain": 1}))
    with pytest.raises(Malformed, match="cannot be read"):
        peer_of(us.register, "b.example")
