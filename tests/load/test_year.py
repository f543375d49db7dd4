"""A year of a company's certificates in minutes: the clock is moved by hand, all else is real.

People join, write, leave, lose their keys and get new ones, and certificates end and follow
each other.  GATEPOST_TORTURE=full takes 10,000 people through it.
"""

import logging
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gatepost.certificate import Certificate
from gatepost.cms import enveloped
from gatepost.cms.capability import KeyTransport
from gatepost.engine.expiry import DAYS, alert
from gatepost.engine.journal import Journal
from gatepost.enrol import profile
from gatepost.enrol.barring import BARRING
from gatepost.enrol.local import Identity, LocalAuthority
from gatepost.enrol.revocation import Revocation
from gatepost.errors import Refused
from gatepost.events import Event, Name
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets, join
from gatepost.pki.crl import Crl
from gatepost.pki.usable import usable_for
from gatepost.store.directory import Directory
from gatepost.store.ledger import LINGERING
from gatepost.vault.kek import Kek
from gatepost.vault.keys import Vault
from gatepost.vault.seal import Sealer

FULL = os.environ.get("GATEPOST_TORTURE") == "full"
PEOPLE = 10_000 if FULL else 40
LETTERS = 10 if FULL else 2  # really encrypted each day
LIFE, YEAR = 365, 365
EVERY = 25  # days between two mails of one person
START = datetime(2027, 1, 1, 7, 30, tzinfo=UTC)
LOST, LEFT, AWAY = "keyCompromise", "cessationOfOperation", "certificateHold"
pytestmark = pytest.mark.timeout(3600 if FULL else 300)
_log = logging.getLogger(__name__)


@dataclass
class Company:
    """Who has what, and what was promised to whom."""

    directory: Directory
    vault: Vault
    authority: LocalAuthority
    now: datetime = START
    current: dict[Mailbox, Identity] = field(default_factory=dict)
    taken: dict[int, tuple[Certificate, datetime]] = field(default_factory=dict)  # by serial
    gone: set[Mailbox] = field(default_factory=set)
    away: set[Mailbox] = field(default_factory=set)
    met: set[Mailbox] = field(default_factory=set)
    seen: set[Certificate] = field(default_factory=set)
    announced: set[tuple[Mailbox, Certificate]] = field(default_factory=set)
    letters: list[tuple[Mailbox, bytes]] = field(default_factory=list)
    issued: Counter[str] = field(default_factory=Counter)
    ends: list[tuple[str, int]] = field(default_factory=list)  # fingerprint, days left
    needless: list[str] = field(default_factory=list)  # told of, though taken back
    lists: list[tuple[datetime, frozenset[int], int]] = field(default_factory=list)

    def write(self, who: Mailbox) -> Identity | None:
        """One mail of this person's: signed by a certificate that holds, or refused for good."""
        if who in self.gone or who in self.away:
            with pytest.raises(Refused):
                self.authority.ensure(who, self.now)
            return None
        made = self.authority.ensure(who, self.now)
        signing, encryption = made.signer.certificate, made.encryption
        assert not usable_for(signing, "sign", self.now)
        assert not usable_for(encryption, "encrypt", self.now)
        assert not {signing.serial, encryption.serial} & self.taken.keys()
        for one in {signing, encryption} - self.seen:
            self.issued["renewed" if who in self.met else "first"] += 1
            assert one.not_after > self.now + timedelta(days=LIFE - 2)
        self.seen |= {signing, encryption}
        self.met.add(who)
        self.current[who] = made
        self.announced.add((who, encryption))
        return made

    def encrypt(self, who: Mailbox, certificate: Certificate) -> None:
        """A correspondent writes to what was announced today."""
        octets = enveloped.encrypt(
            Octets(f"to {who} on {self.now}".encode()),
            [certificate],
            cipher="aes256-gcm",
            key_transport=KeyTransport("rsa-oaep"),
            entropy=os.urandom,
        )
        self.letters.append((who, join(octets)))

    def revoke(self, who: Mailbox, reason: str) -> None:
        """Both certificates of a person, for a reason."""
        both = self.current.pop(who)
        for one in (both.signer.certificate, both.encryption):
            assert Revocation(self.directory, self.authority).revoke(one, reason, self.now)
            self.taken[one.serial] = one, self.now
        if reason in BARRING:
            (self.away if reason == AWAY else self.gone).add(who)

    def come_back(self, who: Mailbox) -> None:
        """A suspension ends, and the old certificates count again."""
        self.away.discard(who)
        for kind in ("sign", "encrypt"):
            one = self.directory.enrolled(who, kind)
            assert one is not None
            assert Revocation(self.directory, self.authority).release(one, self.now)
            del self.taken[one.serial]

    def look_at_list(self) -> None:
        """The list of today is young, ours, and names whom it must."""
        issuing = self.authority.issuing
        made = self.authority.revocations(issuing, self.now)
        assert made is not None
        crl = Crl.from_der(made.der)
        assert crl.is_signed_by(issuing)
        assert crl.next_update is not None
        assert crl.this_update <= self.now < crl.next_update - timedelta(days=1)
        serials = frozenset(crl.entries[crl.issuer])
        self.lists.append((crl.this_update, serials, len(made.der)))

    def hear(self, event: Event) -> None:
        if event.name is Name.CERTIFICATE_ENDING:
            fingerprint = str(event.fields["fingerprint"])
            self.ends.append((fingerprint, int(str(event.fields["days"]))))
            if fingerprint in self.directory.revoked():
                self.needless.append(fingerprint)


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Company:
    monkeypatch.setattr(profile, "USER_LIFE", timedelta(days=LIFE))
    directory = Directory(tmp_path / "directory.db")
    vault = Vault(directory, Sealer(Kek(bytes(32)), "private keys"))
    begin = START - timedelta(days=YEAR)
    authority = LocalAuthority.create(
        directory, vault, "Year", ["year.example"], user_key="p256", now=begin
    )
    return Company(directory, vault, authority)


def test_a_year_of_certificates(company: Company) -> None:
    """Mail would become unreadable, thieves go on signing, or people stop reading alerts."""
    lottery = random.Random(7)
    people = [Mailbox.parse(f"p{number}@year.example") for number in range(PEOPLE)]
    _hire(company, people, lottery)
    journal = Journal(lambda: company.now)
    journal.observe(company.hear)
    biggest = 0
    for day in range(YEAR):
        company.now = START + timedelta(days=day)
        _leave(company, people, lottery, day)
        writing = [who for number, who in enumerate(people) if (number + day) % EVERY == 0]
        made = [(who, company.write(who)) for who in writing]
        for who, identity in made[:LETTERS]:
            if identity is not None:
                company.encrypt(who, identity.encryption)
        company.look_at_list()
        alert(company.directory.alerts, journal, company.now, more=tuple)
        biggest = max(biggest, company.lists[-1][2])
    _log.info(
        "%d people: %d certificates issued first, %d renewed, %d revoked; "
        "largest list %d entries, %d octets; %d alerts; %d letters",
        PEOPLE,
        company.issued["first"],
        company.issued["renewed"],
        len(company.taken),
        max(len(serials) for _, serials, _ in company.lists),
        biggest,
        len(company.ends),
        len(company.letters),
    )
    assert company.issued["renewed"] > PEOPLE
    _check_alerts(company)
    _check_lists(company)
    _check_letters(company)


def _hire(company: Company, people: list[Mailbox], lottery: random.Random) -> None:
    """Whoever is there wrote first some day of the year before."""
    days = sorted(lottery.randrange(YEAR) for _ in people)
    for who, day in zip(people, days, strict=True):
        company.now = START - timedelta(days=YEAR - day)
        company.write(who)


def _leave(company: Company, people: list[Mailbox], lottery: random.Random, day: int) -> None:
    """Each day some lose their keys, leave for good or for a month."""
    for who in sorted(company.away, key=str):
        if lottery.random() < 0.05:
            company.come_back(who)
    for reason, share in ((LOST, 0.10), (LEFT, 0.08), (AWAY, 0.03)):
        some = share * PEOPLE / YEAR
        count = int(some * (day + 1)) - int(some * day)
        there = [who for who in people if who in company.current]
        for who in lottery.sample(there, count):
            company.revoke(who, reason)


def _check_alerts(company: Company) -> None:
    """Each end is told at most once for each threshold."""
    told = Counter(
        (fingerprint, next(one for one in DAYS if left <= one))
        for fingerprint, left in company.ends
    )
    assert told
    assert max(told.values()) == 1
    assert not company.needless


def _check_lists(company: Company) -> None:
    """RFC 5280 section 3.3: on every list until the end, on those of a week more, then on none."""
    dropped = 0
    for serial, (certificate, at) in company.taken.items():
        during = [names for when, names, _ in company.lists if at <= when <= certificate.not_after]
        assert all(serial in names for names in during)
        beyond = [
            (when - certificate.not_after <= LINGERING, serial in names)
            for when, names, _ in company.lists
            if when > certificate.not_after
            and when >= at  # one can be taken back when it has ended
        ]
        assert all(lingers is listed for lingers, listed in beyond)
        dropped += any(not listed for _, listed in beyond)
    assert dropped


def _check_letters(company: Company) -> None:
    """On the last day everything that was ever encrypted to us can be read."""
    for who, certificate in company.announced:
        assert company.directory.key_of(certificate) is not None, who
    for who, octets in company.letters:
        opened = enveloped.decrypt(octets, company.vault.decryptors_for(who), entropy=os.urandom)
        assert opened.content.startswith(f"to {who} on ".encode())
