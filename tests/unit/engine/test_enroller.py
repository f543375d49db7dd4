"""Certificates from authorities outside, from the request to their renewal."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from tests.unit.engine.outside import Outside, failing, later

from gatepost.certificate import Certificate
from gatepost.cms.capability import SignatureScheme
from gatepost.config.identity import Identity
from gatepost.engine.enroller import FIRST, LONGEST, SKEW, UPKEEP, Enroller, accepted, pause
from gatepost.engine.gather import Gatherer
from gatepost.engine.identity import Identities, Kept, is_ending
from gatepost.engine.journal import Journal
from gatepost.engine.proof import proof as lent
from gatepost.enrol import pkcs10
from gatepost.enrol.local import RENEWED, LocalAuthority
from gatepost.enrol.revocation import Revocation
from gatepost.enrol.rule import Rules
from gatepost.enrol.source import Issued, Pending, Wanted
from gatepost.errors import NotYet, Refused, Unavailable
from gatepost.events import Event, Name
from gatepost.flow.fact import SignerAnswer, SignerFor
from gatepost.mail.address import Mailbox
from gatepost.store.directory import Directory
from gatepost.store.request import Request
from gatepost.vault.custody import generate
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer

ALICE, BOB = Mailbox.parse("alice@example.com"), Mailbox.parse("bob@example.com")
DOMAINS = frozenset({"example.com"})
OUTSIDE = Identity(source="outside", key_type="p256")
SEPARATE = replace(OUTSIDE, keys="separate")


class Home:
    """A company with an embedded CA and an authority outside."""

    def __init__(self, folder: Path, now: datetime, *rules: Identity) -> None:
        self.now = now
        self.directory = Directory(folder / "directory.db")
        self.vault = Vault(self.directory, Sealer(Kek(b"k" * 32), "private-key"))
        self.authority = LocalAuthority.create(
            self.directory, self.vault, "Example", DOMAINS, user_key="p256", now=now
        )
        self.outside = Outside(now)
        self.events: list[Event] = []
        self.use(*rules)

    def use(self, *rules: Identity) -> None:
        self.identities = Identities(
            self.directory, self.vault, self.authority, Rules(rules), DOMAINS, "p256"
        )

    def enroller(self, *, knows: bool = True) -> Enroller:
        journal = Journal(lambda: self.now)
        journal.observe(self.events.append)
        sources = {"outside": self.outside} if knows else {}
        return Enroller(self.identities, sources, journal, lambda: self.now)

    def request(self) -> Request:
        [found] = self.directory.requests.all()
        return found

    def told(self, name: Name) -> list[dict[str, object]]:
        return [dict(one.fields) for one in self.events if one.name is name]


@pytest.fixture
def home(tmp_path: Path, now: datetime) -> Iterator[Home]:
    found = Home(tmp_path, now, OUTSIDE)
    yield found
    found.directory.close()


def sign(home: Home, mailbox: Mailbox) -> Certificate:
    signer = home.identities.ensure(mailbox, home.now)[0]
    assert signer.sign(b"data", SignatureScheme("ecdsa", "sha256"))
    return signer.certificate


async def test_asked_once_and_used_when_it_comes(home: Home) -> None:
    """The first mail would order a certificate each time its server tries again, or be lost."""
    home.outside.answers = [later("order 7"), later("order 7")]
    for _ in range(2):
        with pytest.raises(NotYet, match="asked for at 'outside'"):
            home.identities.ensure(ALICE, home.now)
    await home.enroller().look()
    with pytest.raises(NotYet, match="waits for an approval"):
        home.identities.ensure(ALICE, home.now)
    await home.enroller().look()
    assert home.outside.asked == ["request"]  # it said when to come again
    for _ in range(2):
        home.now += timedelta(minutes=10)
        await home.enroller().look()
    assert home.outside.asked == ["request", "collect order 7", "collect order 7"]
    found = sign(home, ALICE)
    assert home.identities.ensure(ALICE, home.now)[1] == found  # one key for both
    assert home.directory.requests.all() == ()
    assert home.vault.signer_of(found).chain == (home.outside.ca,)
    assert len(home.told(Name.CERTIFICATE_WAITING)) == 1
    [told] = home.told(Name.CERTIFICATE_ISSUED)
    assert (told["address"], told["source"]) == ("alice@example.com", "outside")


async def test_separate_keys(home: Home) -> None:
    """One request would be taken for both, and mail be encrypted to a signature key."""
    home.use(SEPARATE)
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    await home.enroller().look()
    signer, encryption = home.identities.ensure(ALICE, home.now)
    assert encryption is not None
    assert signer.certificate.key_usage == frozenset({"digital_signature"})
    assert encryption.key_usage == frozenset({"key_agreement"})
    assert {one.purpose for one in home.outside.wanted} == {"encrypt", "sign"}  # asked side by side
    assert len(home.outside.wanted) == 2


async def test_several_processes_ask_once(home: Home) -> None:
    """Every worker would order a certificate, and all but one be paid for nothing."""
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    await asyncio.gather(*(home.enroller().look() for _ in range(4)))
    assert home.outside.asked == ["request"]


async def test_failures_are_tried_again_ever_more_slowly(home: Home) -> None:
    """An authority that is down for a night would be asked without end, or never again."""
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    home.outside.answers = [failing(Unavailable("closed")), failing(ValueError("bug"))]
    await home.enroller().look()
    assert (home.request().tries, home.request().fault) == (1, "closed")
    with pytest.raises(NotYet, match="waits for closed"):
        home.identities.ensure(ALICE, home.now)
    home.now += FIRST
    await home.enroller().look()
    assert (home.request().tries, home.request().fault) == (2, "ValueError: bug")
    assert home.request().due == home.now + 2 * FIRST
    home.now += 2 * FIRST
    await home.enroller(knows=False).look()
    assert "no usable" in home.request().fault
    home.now += 4 * FIRST
    await home.enroller().look()
    assert sign(home, ALICE).emails == (ALICE.key,)
    assert [pause(n) for n in (1, 2, 3)] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert pause(100) == LONGEST


async def test_refused_is_the_end(home: Home) -> None:
    """An authority that said no would be asked for ever, and nobody be told."""
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    home.outside.answers = [failing(Refused("the contract ended"))]
    await home.enroller().look()
    home.now += timedelta(days=30)
    await home.enroller().look()
    assert home.outside.asked == ["request"]
    with pytest.raises(Refused, match=r"'outside' issues no certificate.*the contract ended"):
        home.identities.ensure(ALICE, home.now)
    home.use(replace(OUTSIDE, source="elsewhere"))
    with pytest.raises(NotYet, match="asked for at 'elsewhere'"):
        home.identities.ensure(ALICE, home.now)
    [told] = home.told(Name.CERTIFICATE_REFUSED)
    assert told["remedy"] == "gatepost cert request alice@example.com asks anew"


@pytest.mark.parametrize("wrong", ["key", "address", "purpose", "expired", "future", "nothing"])
async def test_a_wrong_answer_is_not_used(home: Home, wrong: str) -> None:
    """Alice would sign with Bob's certificate, or with one nobody can use."""
    good = accepted_for(home, BOB if wrong == "address" else ALICE)

    def answer(wanted: Wanted, now: datetime) -> Issued:
        request = x509.load_der_x509_csr(wanted.request)
        usage = request.extensions.get_extension_for_class(x509.KeyUsage).value
        key, name = request.public_key(), "alice@example.com"
        match wrong:
            case "key":
                key = generate("p256").public_key()
            case "address":
                name = "bob@example.com"
            case "purpose":
                usage = good.x509.extensions.get_extension_for_class(x509.KeyUsage).value
            case "expired":
                home.outside.life = timedelta(minutes=-1)
            case "future":
                now = now + 2 * SKEW
            case "nothing":
                return Issued(())
        return Issued((home.outside.made(name, key, usage, now), home.outside.ca))

    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    home.outside.answers = [answer]
    await home.enroller().look()
    assert home.request().ended
    assert home.request().fault.startswith(("the certificate ", "no certificate "))
    assert home.directory.keys_for(ALICE) == ()


def accepted_for(home: Home, mailbox: Mailbox) -> Certificate:
    """One for signing alone, by way of `accepted`."""
    key = generate("p256")
    octets = pkcs10.make(key, mailbox.key, "sign")
    asked = Request(mailbox.key, "sign", "outside", "id", b"", octets)
    given = home.outside.issue(Wanted(mailbox.key, "sign", octets), home.now)
    chain = accepted(asked, given, home.now)
    assert chain == given.chain
    return chain[0]


async def test_renewed_in_time_and_the_old_key_kept(home: Home) -> None:
    """On the day a certificate ends its owner would be mute, or his old mail unreadable."""
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    await home.enroller().look()
    old = sign(home, ALICE)
    await home.enroller().keep()
    assert home.directory.requests.all() == ()
    home.now = old.not_after - RENEWED + timedelta(minutes=1)
    home.outside.answers = [later("new")]
    await home.enroller().keep()
    await home.enroller().look()
    assert home.outside.wanted[-1].replacing == old
    assert sign(home, ALICE) == old  # meanwhile, as long as it lasts
    home.now += timedelta(minutes=10)
    await home.enroller().look()
    new = sign(home, ALICE)
    assert new != old
    assert {one.certificate for one in home.vault.decryptors_for(ALICE)} == {old, new}
    assert home.directory.requests.ending(home.now, home.now + RENEWED) == ()


async def test_the_embedded_ca_renews_without_mail(home: Home) -> None:
    """Who only reads mail would have an expired certificate, and be written to in clear."""
    home.use()
    old, encryption = home.authority.ensure(ALICE, home.now)
    domain = home.authority.issue_domain("example.com", home.now)
    home.authority.issue_domain_signer("example.com", home.now)
    home.now = encryption.not_after - timedelta(days=20)
    await home.enroller().keep()
    issued = [one["address"] for one in home.told(Name.CERTIFICATE_ISSUED)]
    signer = "domain-signing-authority@example.com"
    assert issued == ["@example.com", "alice@example.com", "alice@example.com", signer]
    assert sign(home, ALICE) != old.certificate
    assert home.directory.enrolled("@example.com", "encrypt") != domain
    await home.enroller().keep()
    assert len(home.told(Name.CERTIFICATE_ISSUED)) == 4
    away = Revocation(home.directory, home.authority)
    assert away.revoke(sign(home, ALICE), "affiliationChanged", home.now)
    home.now += timedelta(days=725)
    await home.enroller().keep()  # who left gets no new one
    assert home.told(Name.SERVICE_ERROR) == []


async def test_one_process_keeps_up(home: Home) -> None:
    """Every worker of every node would make new keys for everybody in the same hour."""
    first, second = home.enroller(), home.enroller()
    home.use(Identity(addresses=("bob@example.com",), issue="at-once"))
    first.identities = second.identities = home.identities
    await first.keep()
    await second.keep()
    assert len(home.told(Name.CERTIFICATE_ISSUED)) == 1
    home.now += UPKEEP
    await second.keep()
    assert len(home.told(Name.CERTIFICATE_ISSUED)) == 1


def test_at_once(home: Home, tmp_path: Path) -> None:
    """A list of function mailboxes would wait until each of them has written."""
    people = tmp_path / "people"
    people.write_text("alice@example.com\nbob@example.com\ncarol@elsewhere.example\n@example.com\n")
    never = Identity(addresses=("bob@example.com",), issue="never")
    home.use(never, Identity(list=people, issue="at-once"))
    kept = list(home.identities.keep(home.now))
    assert [one.address for one in kept if one.issued] == ["@example.com", "alice@example.com"]
    [fault] = [one.fault for one in kept if one.fault]
    assert "elsewhere.example" in fault
    home.use(replace(OUTSIDE, addresses=("carl@example.com", "@example.com"), issue="at-once"))
    assert list(home.identities.keep(home.now)) == []
    assert home.request().address == "carl@example.com"  # the domain has one already
    gone = Identity(list=tmp_path / "gone", issue="at-once")
    home.use(gone)
    [one] = home.identities.keep(home.now)
    assert isinstance(one, Kept)
    assert "cannot be read" in one.fault


def test_never_and_no_ca(home: Home) -> None:
    """A machine's address would get what its rule forbids."""
    home.use(Identity(addresses=("bob@example.com",), issue="never"))
    with pytest.raises(Refused, match="gives bob@example"):
        home.identities.ensure(BOB, home.now)
    assert home.identities.rehearse(ALICE, home.now)[0].certificate.emails == (ALICE.key,)
    home.identities = replace(home.identities, authority=None)
    with pytest.raises(Refused, match="gatepost init"):
        home.identities.ensure(ALICE, home.now)
    home.use(OUTSIDE)
    with pytest.raises(NotYet, match="has to come from 'outside'"):
        home.identities.rehearse(ALICE, home.now)
    with pytest.raises(Refused, match="not in a domain of ours"):
        home.identities.ask("mallory@evil.example", "both", OUTSIDE, home.now)


async def test_a_domain_signs_with_a_certificate_of_its_own(home: Home) -> None:
    """RFC 3183: mail signed by the company would carry an encryption certificate as well."""
    signer = Mailbox.parse("domain-signing-authority@example.com")
    home.use()
    found, encryption = home.identities.ensure(signer, home.now)
    assert (found.certificate.emails, encryption) == ((signer.key,), None)
    assert found.certificate.key_usage == frozenset({"digital_signature"})
    assert home.directory.enrolled(signer, "encrypt") is None


async def test_and_from_outside(home: Home) -> None:
    """The company's signature would come from the embedded CA, which nobody outside trusts."""
    signer = Mailbox.parse("domain-signing-authority@example.com")
    home.use(replace(OUTSIDE, addresses=("@example.com",)))
    with pytest.raises(NotYet):
        home.identities.ensure(signer, home.now)
    assert home.request().purpose == "sign"
    await home.enroller().look()
    assert sign(home, signer).emails == (signer.key,)


def test_short_lives_are_renewed_in_their_last_third(home: Home) -> None:
    """Certificates of 30 days would be renewed all the time."""
    home.outside.life = timedelta(days=30)
    one = accepted_for(home, ALICE)
    assert not is_ending(one, one.not_after - timedelta(days=11))
    assert is_ending(one, one.not_after - timedelta(days=9))


async def test_who_stops_lets_go(home: Home) -> None:
    """After a restart a request would lie for a quarter of an hour."""
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    reached = asyncio.Event()

    class Hanging(Outside):
        async def request(self, wanted: Wanted, now: datetime) -> Issued | Pending:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError((wanted, now))

    home.outside = Hanging(home.now)
    asking = asyncio.create_task(home.enroller().look())
    await reached.wait()
    assert home.directory.requests.due(home.now) == ()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert len(home.directory.requests.due(home.now)) == 1


async def test_one_from_outside_is_used_to_its_end(home: Home) -> None:
    """What the company has paid for would be replaced by the embedded CA a month too early."""
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    await home.enroller().look()
    old = sign(home, ALICE)
    home.use()  # the rule is taken away
    home.now = old.not_after - timedelta(days=1)
    await home.enroller().keep()
    assert sign(home, ALICE) == old
    home.now = old.not_after + timedelta(days=1)
    new = sign(home, ALICE)
    assert new.issuer == home.authority.issuing.subject


async def test_mail_in_the_domains_name(home: Home) -> None:
    """The flow asks for the domain's signer as for anybody's, and gets no encryption with it."""
    home.use()
    gather = Gatherer(
        home.directory,
        home.vault,
        home.identities,
        domains=DOMAINS,
        clock=lambda: home.now,
    )
    fact = SignerFor(Mailbox("domain-signing-authority", "Example.com"))
    answer = (await gather(frozenset({fact})))[fact]
    assert isinstance(answer, SignerAnswer)
    assert answer.signer is not None
    assert answer.signer.certificate.emails == ("domain-signing-authority@example.com",)
    assert answer.certificates == ()


async def test_who_renews_proves_himself(home: Home) -> None:
    """The authority could not tell its customer from a stranger, or a key be lent too far."""
    home.use(SEPARATE)
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    await home.enroller().look()
    assert [one.proof() for one in home.outside.wanted] == [None, None]  # the first time
    signer, encryption = home.identities.ensure(ALICE, home.now)
    assert encryption is not None
    home.now = encryption.not_after - RENEWED + timedelta(minutes=1)
    home.outside.answers = [later("sign"), later("encrypt")]
    await home.enroller().keep()
    await home.enroller().look()
    wanted = {one.purpose: one for one in home.outside.wanted[2:]}
    assert {asked.replacing for asked in wanted.values()} == {signer.certificate, encryption}
    for asked in wanted.values():
        found = asked.proof()
        assert found is not None
        assert found.signer.certificate == signer.certificate  # the other one cannot sign
        scheme = SignatureScheme("ecdsa", "sha256")
        key = x509.load_der_x509_csr(asked.request).public_key()
        assert isinstance(key, EllipticCurvePublicKey)
        key.verify(found.sign(b"data", scheme), b"data", ECDSA(SHA256()))
    home.directory.ledger.revoke(signer.certificate, home.outside.ca, "keyCompromise", home.now)
    assert [one.proof() for one in wanted.values()] == [None, None]


async def test_nobody_renews_elsewhere(home: Home) -> None:
    """A certificate of one authority would be asked for in the name of another's."""
    signing, octets = accepted_for(home, ALICE), pkcs10.make(generate("p256"), ALICE.key, "encrypt")
    encryption = home.outside.issue(Wanted(ALICE.key, "encrypt", octets), home.now).chain[0]
    home.authority.ensure(ALICE, home.now)
    request = home.identities.ask(ALICE.key, "encrypt", SEPARATE, home.now)
    assert request is not None
    for theirs in signing, encryption:  # whose keys are not here
        assert lent(home.directory, home.vault, request, theirs, home.now) is None
    other = home.directory.enrolled(ALICE, "encrypt")
    assert other is not None
    assert lent(home.directory, home.vault, request, other, home.now) is not None
    domain = home.authority.issue_domain("example.com", home.now)
    whole = replace(request, address="@example.com")
    assert lent(home.directory, home.vault, whole, domain, home.now) is None


async def test_who_left_has_nothing_from_elsewhere_to_go_on_with(home: Home) -> None:
    """Somebody dismissed would sign with what another authority gave him, or be given anew."""
    with pytest.raises(NotYet):
        home.identities.ensure(ALICE, home.now)
    await home.enroller().look()
    theirs = sign(home, ALICE)
    own = home.authority.issue(ALICE, "sign", home.now)
    taken = Revocation(home.directory, home.authority).revoke(own, "cessationOfOperation", home.now)
    assert taken == (own, theirs)
    for rules in (OUTSIDE,), ():
        home.use(*rules)
        with pytest.raises(Refused, match="cessationOfOperation"):
            home.identities.ensure(ALICE, home.now)
    assert home.directory.requests.all() == ()
    home.use(OUTSIDE)
    assert home.identities.ask(ALICE.key, "both", OUTSIDE, home.now, by_hand=True) is not None
    await home.enroller().look()
    back = sign(home, ALICE)
    home.now = back.not_after - RENEWED + timedelta(minutes=1)
    await home.enroller().keep()
    assert home.request().replacing == back.fingerprint  # he is one of ours again


async def test_the_embedded_ca_renews_one_key_as_one(home: Home) -> None:
    """Who only reads mail would have two certificates after a year, and be told of each twice."""
    home.use(Identity(keys="one"))
    signer, old = home.identities.ensure(ALICE, home.now)
    assert signer.certificate == old
    assert home.identities.rehearse(BOB, home.now)[0].certificate.key_usage == old.key_usage
    domain = home.authority.issue_domain("example.com", home.now)
    home.now = old.not_after - timedelta(days=20)
    await home.enroller().keep()
    told = [one["address"] for one in home.told(Name.CERTIFICATE_ISSUED)]
    assert told == ["@example.com", "alice@example.com"]
    new = sign(home, ALICE)
    assert new != old
    assert home.identities.ensure(ALICE, home.now)[1] == new
    renewed = home.directory.enrolled("@example.com", "encrypt")
    assert renewed is not None
    assert renewed != domain
    assert renewed.key_usage == frozenset({"key_agreement"})


async def test_a_domain_from_outside_is_renewed_for_its_task(home: Home) -> None:
    """RFC 3183: after a year the company would sign with the key that others encrypt to."""
    rule = replace(OUTSIDE, addresses=("@example.com",), issue="at-once")
    home.use(rule)
    for _ in range(2):
        assert list(home.identities.keep(home.now)) == []
        assert home.request().purpose == "encrypt"
        await home.enroller().look()
        held = home.directory.enrolled("@example.com", "encrypt")
        assert held is not None
        home.now = held.not_after - RENEWED + timedelta(minutes=1)
