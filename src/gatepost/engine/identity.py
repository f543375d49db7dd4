"""Gives our own people what they sign with, by the rules of the configuration.

The embedded CA answers at once.  An authority outside is asked by the `Enroller`; until it has
answered there is no certificate, and policy says what becomes of mail (docs/certificates.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from gatepost.certificate import Certificate
from gatepost.cms.capability import Signer
from gatepost.config.certificate_source import LOCAL
from gatepost.config.identity import Identity
from gatepost.enrol import pkcs10, rule
from gatepost.enrol.barring import barring
from gatepost.enrol.local import RENEWED, LocalAuthority
from gatepost.enrol.rule import Rules
from gatepost.errors import GatepostError, NotYet, Refused
from gatepost.mail.address import Mailbox
from gatepost.pki.identity import DOMAIN_SIGNER
from gatepost.store.directory import Directory
from gatepost.store.record import address_key
from gatepost.store.request import KINDS, Purpose, Request, Usage
from gatepost.vault.keys import Vault
from gatepost.vault.token import Algorithm

_EVER = datetime(9999, 1, 1, tzinfo=UTC)
Answer = tuple[Signer, Certificate | None]


@dataclass(frozen=True, slots=True)
class Kept:
    """What keeping one address in certificates came to."""

    address: str
    issued: Certificate | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Identities:
    """The identities of one directory; synchronous, for keys take their time."""

    directory: Directory
    vault: Vault
    authority: LocalAuthority | None
    rules: Rules
    domains: frozenset[str]
    usual_key: Algorithm = "rsa2048"
    asked: Callable[[Request], None] = lambda _: None  # told of every new request

    def ensure(self, mailbox: Mailbox, now: datetime) -> Answer:
        """What a mailbox signs with and is encrypted to; raises NotYet while it is on its way."""
        found = self._rule(mailbox)
        if found.source != LOCAL:
            return self._from_outside(mailbox, found, now)
        authority = self._local()
        if is_domain_signer(mailbox.key):
            return self.vault.signer_of(authority.current(mailbox, "sign", now)), None
        return authority.ensure(mailbox, now, one_key=_is_one(found, mailbox))

    def rehearse(self, mailbox: Mailbox, now: datetime) -> Answer:
        """What `ensure` would issue; keeps nothing."""
        found = self._rule(mailbox)
        if found.source == LOCAL:
            return self._local().rehearse(mailbox, now, one_key=_is_one(found, mailbox))
        raise NotYet(f"a certificate for {mailbox} has to come from {found.source!r} first")

    def ask(
        self,
        address: str,
        purpose: Purpose,
        found: Identity,
        now: datetime,
        replacing: str = "",
        *,
        by_hand: bool = False,
    ) -> Request | None:
        """Begin to ask for a certificate with a new key; nothing when that is under way.

        Who left, or is suspended, gets a new one only when somebody says so.
        """
        if not by_hand:
            self._check_barred(address)
        for one in self.directory.requests.of(address):
            if one.purpose != purpose:
                continue
            if not one.ended or one.source == found.source:
                return None
            self.directory.requests.drop(one)  # refused there, and another one is asked now
        if address.rpartition("@")[2] not in self.domains:
            raise Refused(f"{address} is not in a domain of ours: no certificate is asked for")
        algorithm = rule.key_type(found, self.usual_key)
        key = self.vault.make(algorithm, "people", f"{address} {purpose}")
        key_id, sealed = self.vault.seal(key)
        made = Request(
            address=address,
            purpose=purpose,
            source=found.source,
            key_id=key_id,
            sealed=sealed,
            pkcs10=pkcs10.make(key, address, purpose),
            replacing=replacing,
            created=now,
            due=now,
        )
        if not self.directory.requests.open(made):
            return None
        self.asked(made)
        return made

    def _check_barred(self, address: str) -> None:
        for kind in KINDS["both"]:
            if reason := barring(self.directory, address, kind):
                raise Refused(
                    f"the certificate of {address} was revoked ({reason}): "
                    f"gatepost cert request {address} asks for a new one"
                )

    def keep(self, now: datetime, early: Collection[Certificate] = ()) -> Iterator[Kept]:
        """Renew what ends soon, and give those a certificate who are to have one at once.

        What an authority would have renewed early is asked for anew, if it is from outside.
        """
        yield from self._renewed(now, early)
        yield from self._listed(now)

    def current(self, now: datetime) -> Iterator[tuple[Certificate, Identity]]:
        """Every certificate in use, with its owner's rule, where that can be told."""
        for address, _, certificate in self.directory.requests.ending(now, _EVER):
            with suppress(GatepostError):
                yield certificate, self.rules.of(address)

    def _renewed(self, now: datetime, early: Collection[Certificate]) -> Iterator[Kept]:
        told: set[Certificate] = set()  # one for both purposes ends twice
        until = _EVER if early else now + RENEWED
        for address, kind, certificate in self.directory.requests.ending(now, until):
            try:
                found = self.rules.of(address)
                is_early = certificate in early and found.source != LOCAL
                if found.issue == "never" or not (is_early or is_ending(certificate, now)):
                    continue
                if found.source != LOCAL:
                    self._ask_anew(address, kind, certificate, found, now)
                    continue
                purpose = _purpose(found, address, kind)
                made = self._local().current(address, purpose, now)
                if made != certificate and made not in told:
                    told.add(made)
                    yield Kept(address, made)
            except Refused:  # who left gets no new one
                continue
            except GatepostError as error:
                yield Kept(address, fault=str(error))

    def _ask_anew(
        self, address: str, kind: Usage, certificate: Certificate, found: Identity, now: datetime
    ) -> None:
        self.ask(address, _purpose(found, address, kind), found, now, certificate.fingerprint)

    def _listed(self, now: datetime) -> Iterator[Kept]:
        rules = [one for one in self.rules.rules if one.issue == "at-once"]
        current = self.directory.requests.current() if rules else frozenset()
        for one in rules:
            try:
                addresses = self.rules.listed(one)
            except GatepostError as error:
                yield Kept("", fault=str(error))
                continue
            for address in sorted(addresses):
                if not {(address, "sign"), (address, "encrypt")} <= current:
                    yield from self._provided(address, one, now)

    def _provided(self, address: str, wanted: Identity, now: datetime) -> Iterator[Kept]:
        try:
            if self.rules.of(address) is not wanted:
                return  # an earlier rule is his
            if address.startswith("@"):
                yield from self._provided_domain(address, wanted, now)
                return
            before = self.directory.enrolled(address, "sign")
            made = self.ensure(Mailbox.parse(address), now)[0].certificate
            if made != before:
                yield Kept(address, made)
        except NotYet:
            return
        except GatepostError as error:
            yield Kept(address, fault=str(error))

    def _provided_domain(self, address: str, wanted: Identity, now: datetime) -> Iterator[Kept]:
        if wanted.source != LOCAL:
            if self.directory.enrolled(address, "encrypt") is None:
                self.ask(address, "encrypt", wanted, now)
            return
        before = self.directory.enrolled(address, "encrypt")
        made = self._local().current(address, "encrypt", now)
        if made != before:
            yield Kept(address, made)

    def _rule(self, mailbox: Mailbox) -> Identity:
        found = self.rules.of(mailbox)
        if found.issue == "never":
            raise Refused(f"a rule of the configuration gives {mailbox} no certificate")
        return found

    def _local(self) -> LocalAuthority:
        if self.authority is None:
            raise Refused("there is no certification authority here: gatepost init founds one")
        return self.authority

    def _from_outside(self, mailbox: Mailbox, found: Identity, now: datetime) -> Answer:
        signer = self.vault.signer_for(mailbox, now)
        encryption = self.vault.encryption_certificate_for(mailbox, now)
        have = {"sign": signer.certificate if signer else None, "encrypt": encryption}
        for purpose in rule.purposes(found, mailbox.key):
            ending = [have[kind] for kind in KINDS[purpose]]
            if any(one is None or is_ending(one, now) for one in ending):
                before = next((one.fingerprint for one in ending if one is not None), "")
                self.ask(mailbox.key, purpose, found, now, before)
        if signer is not None:
            return signer, encryption
        raise self._waiting(mailbox)

    def _waiting(self, mailbox: Mailbox) -> GatepostError:
        """Why there is nothing yet, for the author's mail server."""
        for one in self.directory.requests.of(mailbox):
            if one.purpose == "encrypt":
                continue
            if one.ended:
                return Refused(f"{one.source!r} issues no certificate for {mailbox}: {one.fault}")
            waits = one.waits_for or one.fault
            return NotYet(
                f"a certificate for {mailbox} was asked for at {one.source!r}"
                + (f" and waits for {waits}" if waits else "")
            )
        return NotYet(f"a certificate for {mailbox} is about to be asked for")


def _is_one(found: Identity, mailbox: Mailbox) -> bool:
    """Whether somebody has one certificate for both purposes."""
    return rule.purposes(found, mailbox.key) == ("both",)


def _purpose(found: Identity, address: str, kind: Usage) -> Purpose:
    """Of which certificate a rule makes the successor."""
    wanted = rule.purposes(found, address)
    return next((one for one in wanted if kind in KINDS[one]), kind)


def is_domain_signer(address: str) -> bool:
    """Whether this is the name under which a whole domain signs (RFC 3183 section 3.1)."""
    return address_key(address).startswith(f"{DOMAIN_SIGNER}@")


def is_ending(certificate: Certificate, now: datetime) -> bool:
    """Whether it is time for the next one."""
    return now > renewal_of(certificate)


def renewal_of(certificate: Certificate) -> datetime:
    """When the next one is due: 30 days before the end, or a third of a short life."""
    life = certificate.not_after - certificate.not_before
    return certificate.not_after - min(RENEWED, life / 3)
