"""The directory: certificates and the addresses they are for, private keys at rest, partners.

Synchronous and small.  The answers every mail asks for are remembered until `generation`
says that some process changed something.  Open one per process, after forking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from sqlalchemy import Connection, and_, bindparam, delete, select, update

from gatepost.certificate import Certificate
from gatepost.errors import ConfigError, Refused
from gatepost.mail.address import Mailbox, domain_key
from gatepost.pki.choose import MAXIMUM_CANDIDATES, Candidate
from gatepost.pki.validate import Anchors
from gatepost.smime.correspondent import Correspondent, Lesson
from gatepost.store import correspondent, keys, listing, schema, transfer, trust
from gatepost.store.alert import Alerts
from gatepost.store.database import Database
from gatepost.store.evidence import EvidenceStore
from gatepost.store.filing import (
    bump,
    file_address,
    file_certificate,
    is_fresh,
    name_id,
    revive,
)
from gatepost.store.judgement import Judgements
from gatepost.store.known_key import KnownKeys
from gatepost.store.ledger import Ledger
from gatepost.store.notice import Notices
from gatepost.store.record import (
    EVERYWHERE,
    Address,
    Entry,
    KeyPurpose,
    Partner,
    Source,
    StoredKey,
    address_key,
)
from gatepost.store.register import Register
from gatepost.store.request import KINDS, Purpose, Requests
from gatepost.store.revision import Revisions
from gatepost.store.sqlite_database import SqliteDatabase
from gatepost.store.status import Statuses
from gatepost.store.turn import Turns
from gatepost.store.upsert import insert

T = TypeVar("T")

MAXIMUM_MEMORY = 20_000  # remembered answers
MAXIMUM_CLIMB = 8  # issuers above a certificate
MAXIMUM_ISSUERS = 16
MAXIMUM_SIGNERS = 16  # certificates of one author that a signature is tried with

_C, _A, _K = schema.certificate, schema.certificate_address, schema.private_key
# Composed once: that would cost more than the answer.
_CANDIDATES = (
    select(_C.c.der, _A.c.source, _A.c.address)
    .join_from(_A, _C)
    .where(_A.c.address.in_([bindparam("own"), bindparam("domain")]))
    # What mail brings must never push out what an administrator filed.
    .order_by(_A.c.source == "harvested", _A.c.last_seen.desc(), _C.c.fingerprint)
    .limit(MAXIMUM_CANDIDATES)
)
_AUTHORITIES = (
    select(_C.c.der)
    .where(_C.c.subject_id.in_(bindparam("names", expanding=True)), _C.c.authority)
    .order_by(_C.c.not_after.desc(), _C.c.fingerprint)
    .limit(MAXIMUM_ISSUERS)
)


class Directory:
    """One database, opened for this process: by its file, or as an engine gave it."""

    def __init__(self, where: Path | Database) -> None:
        self._database = SqliteDatabase(where) if isinstance(where, Path) else where
        self._memory: tuple[int, dict[object, Any]] = (-1, {})
        self.policy = Revisions(self._database)
        self.ledger = Ledger(self._database)
        self.evidence = EvidenceStore(self._database)
        self.judgements = Judgements(self._database)
        self.known_keys = KnownKeys(self._database)
        self.register = Register(self._database)
        self.requests = Requests(self._database)
        self.alerts = Alerts(self._database)
        self.statuses = Statuses(self._database)
        self.notices = Notices(self._database)
        self.turns = Turns(self._database)

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return str(self._database.place)

    @property
    def path(self) -> Path:
        """The file, where it is one."""
        return Path(self._database.place)

    @property
    def is_distant(self) -> bool:
        """Whether an answer that is not remembered may take a network's time."""
        return self._database.is_distant

    def close(self) -> None:
        """Give the database back."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Directory({self.place!r})"

    def generation(self) -> int:
        """A number that changes when anything here changes, whoever changed it; some µs."""
        return self._database.generation()

    def is_empty(self) -> bool:
        """Whether this is nobody's directory yet."""
        with self._database.reading() as connection:
            return transfer.is_empty(connection)

    # Certificates and the addresses they are for

    def add_certificate(
        self,
        certificate: Certificate,
        addresses: Iterable[Address] = (),
        *,
        source: Source = "imported",
        now: datetime,
    ) -> None:
        """Keep a certificate for these addresses: mailboxes, or `@domain`."""
        filed = [address_key(address) for address in addresses]
        with self._database.writing() as connection:
            file_certificate(connection, certificate, now)
            for key in filed:
                file_address(connection, certificate, key, source, now)
            bump(connection)

    def learn(
        self,
        certificate: Certificate,
        mailbox: Mailbox,
        *,
        source: Source = "harvested",
        issuers: Sequence[Certificate] = (),
        now: datetime,
    ) -> bool:
        """Remember what a verified signature showed; true when the certificate is new for it."""
        if self._database.glance(lambda it: is_fresh(it, certificate, mailbox.key, now)):
            return False  # the common case writes nothing
        with self._database.writing() as connection:
            new = not _has_use(connection, certificate, mailbox.key)
            for issuer in issuers[:MAXIMUM_ISSUERS]:
                file_certificate(connection, issuer, now)
            file_certificate(connection, certificate, now)
            file_address(connection, certificate, mailbox.key, source, now)
            if new:
                bump(connection)
        return new

    def note(self, lesson: Lesson, *, now: datetime) -> bool:
        """Remember what a signature showed of its author; true when an answer changes by it."""
        if correspondent.is_known(self.correspondent(lesson.mailbox), lesson, now):
            return False
        with self._database.writing() as connection:
            changed = correspondent.file(connection, lesson, now)
            if changed:
                bump(connection)
        return changed

    def candidates_for(self, mailbox: Mailbox) -> tuple[Candidate, ...]:
        """What might encrypt to the mailbox: its own certificates and its domain's."""
        return self._remember(("candidates", mailbox.key), lambda: self._candidates(mailbox))

    def signers_of(self, mailbox: Mailbox) -> tuple[Certificate, ...]:
        """What may have signed for an author: his own, never his domain's, and the way up."""
        found = [one for one in self.candidates_for(mailbox) if not one.domain][:MAXIMUM_SIGNERS]
        issuers = (issuer for one in found for issuer in one.issuers)
        return tuple(dict.fromkeys((*(one.certificate for one in found), *issuers)))

    def correspondent(self, mailbox: Mailbox) -> Correspondent:
        """What this address's signed mail showed."""
        return self._remember(("correspondent", mailbox.key), lambda: self._correspondent(mailbox))

    def correspondents(self, domain: str, limit: int = 200) -> dict[str, Correspondent]:
        """Everybody of this domain whose signed mail showed something, by address."""
        with self._database.reading() as connection:
            return correspondent.find(connection, domain_key(domain), limit)

    def issuers_of(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """The CAs above a certificate that we know, nearest first, self-signed ones left out."""
        if certificate.issuer == certificate.subject:
            return ()
        name = certificate.issuer  # an authority's certificates all have the same above them
        return self._remember(("issuers", name), lambda: self._issuers(name))

    def find(
        self,
        text: str = "",
        *,
        address: Address | None = None,
        authority: bool | None = None,
        limit: int = 200,
        offset: int = 0,
    ) -> tuple[Entry, ...]:
        """Search names, subjects, addresses and beginnings of fingerprints."""
        with self._database.reading() as connection:
            return listing.find(
                connection,
                text,
                address=address,
                authority=authority,
                limit=limit,
                offset=offset,
            )

    def entry(self, fingerprint: str) -> Entry:
        """The certificate whose fingerprint begins so; raises ConfigError for none or several."""
        with self._database.reading() as connection:
            return listing.entry(connection, fingerprint)

    def certificate(self, fingerprint: str) -> Certificate:
        """The certificate of this whole fingerprint; raises ConfigError when it is not here."""
        return self._remember(("certificate", fingerprint), lambda: self._certificate(fingerprint))

    def remove_certificate(self, certificate: Certificate, *, with_key: bool = False) -> bool:
        """Forget a certificate everywhere; its private key only when asked in so many words."""
        at = certificate.fingerprint
        with self._database.writing() as connection:
            held = connection.execute(select(_K.c.key_id).where(_K.c.fingerprint == at)).first()
            if held and not with_key:
                raise Refused(
                    f"{certificate.name!r} has a private key here; "
                    "without it, mail encrypted to it can never be read again"
                )
            done = connection.execute(delete(_C).where(_C.c.fingerprint == at))
            bump(connection)
            return done.rowcount > 0

    # Private keys at rest

    def add_key(
        self,
        key: StoredKey,
        addresses: Iterable[Address] = (),
        *,
        source: Source = "imported",
        now: datetime,
    ) -> None:
        """Keep a sealed private key with its certificate."""
        with self._database.writing() as connection:
            keys.file(connection, key, addresses, source, now)
            bump(connection)

    def keep_key(
        self,
        certificate: Certificate,
        key_id: str,
        purpose: KeyPurpose,
        sealed: bytes,
        *,
        addresses: Iterable[Address],
        source: Source,
        now: datetime,
    ) -> None:
        """`add_key` as the vault calls it, which knows no type of ours."""
        key = StoredKey(certificate, key_id, purpose, sealed)
        self.add_key(key, addresses, source=source, now=now)

    def forget_key(self, certificate: Certificate) -> bool:
        """Let go of a private key, and keep its certificate."""
        with self._database.writing() as connection:
            done = connection.execute(delete(_K).where(_K.c.fingerprint == certificate.fingerprint))
            bump(connection)
            return done.rowcount > 0

    def keys_for(self, address: Address) -> tuple[StoredKey, ...]:
        """The private keys filed for this address, those valid longest first."""
        with self._database.reading() as connection:
            return keys.filed_for(connection, address_key(address))

    def key_of(self, certificate: Certificate) -> StoredKey | None:
        """The private key of a certificate, if we hold it."""
        with self._database.reading() as connection:
            return keys.of(connection, certificate)

    def enrolled(self, address: Address, kind: str) -> Certificate | None:
        """The current certificate of this kind issued to an address."""
        with self._database.reading() as connection:
            return keys.enrolled(connection, address_key(address), kind)

    def enrol(
        self,
        address: Address,
        kind: Purpose,
        key: StoredKey,
        *,
        replacing: Certificate | None,
        now: datetime,
    ) -> Certificate:
        """Make this the current certificate unless another process was first; gives the winner."""
        with self._database.writing() as connection:
            winner = keys.enrol(
                connection, address_key(address), KINDS[kind], key, replacing=replacing, now=now
            )
            bump(connection)
        return winner

    def found(
        self, stored: Sequence[StoredKey], settings: dict[str, str], *, now: datetime
    ) -> None:
        """Install the company's own CA in one step, trusted by all.

        Raises ConfigError when any of the settings is there already: a CA is founded once.
        """
        with self._database.writing() as connection:
            taken = connection.execute(
                select(schema.setting.c.key).where(schema.setting.c.key.in_(settings))
            ).first()
            if taken:
                raise ConfigError("this directory has a certification authority already")
            for key in stored:
                keys.file(connection, key, (), "issued", now)
            trust.add_anchors(connection, [key.certificate for key in stored], EVERYWHERE, now)
            rows = [{"key": key, "value": value} for key, value in settings.items()]
            connection.execute(insert(connection, schema.setting), rows)
            bump(connection)

    def succeed(
        self, stored: StoredKey, setting: str, previous: Certificate, *, now: datetime
    ) -> bool:
        """Let a CA follow the previous one; false when another process did so first."""
        table = schema.setting
        with self._database.writing() as connection:
            done = connection.execute(
                update(table)
                .where(and_(table.c.key == setting, table.c.value == previous.fingerprint))
                .values(value=stored.certificate.fingerprint)
            )
            if not done.rowcount:
                return False
            keys.file(connection, stored, (), "issued", now)
            trust.add_intermediate(connection, stored.certificate, now)
            bump(connection)
            return True

    def revoked(self) -> frozenset[str]:
        """Fingerprints of our own certificates that were taken back."""
        return self._remember(("revoked",), self.ledger.fingerprints)

    # Trust

    def anchors_for(self, domain: str) -> Anchors:
        """What counts for a correspondent at this domain: ours, everybody's and that partner's."""
        key = domain_key(domain)
        # Nearly all domains share one answer, and one object, whose hashes are computed once.
        is_special = key in self._remember(("scopes",), lambda: self._database.glance(trust.scopes))
        scopes = (EVERYWHERE, key) if is_special else (EVERYWHERE,)
        return self._remember(("anchors", scopes), lambda: self._anchors(scopes))

    def add_anchors(
        self, given: Sequence[Certificate], *, domain: str = EVERYWHERE, now: datetime
    ) -> None:
        """Trust CAs for a domain, or for every one."""
        with self._database.writing() as connection:
            trust.add_anchors(connection, given, trust.scope_key(domain), now)
            bump(connection)

    def remove_anchor(self, certificate: Certificate, *, domain: str = EVERYWHERE) -> bool:
        """Stop trusting a CA in this scope."""
        with self._database.writing() as connection:
            scope = trust.scope_key(domain)
            done = trust.remove_anchor(connection, certificate.fingerprint, scope)
            bump(connection)
            return done

    def add_partner(
        self, domain: str, given: Sequence[Certificate] = (), *, note: str = "", now: datetime
    ) -> Partner:
        """Know a partner; its CAs count for its own domain only."""
        with self._database.writing() as connection:
            made = trust.add_partner(connection, domain, given, now, note)
            bump(connection)
            return made

    def remove_partner(self, domain: str) -> bool:
        """Forget a partner and stop trusting its CAs."""
        with self._database.writing() as connection:
            done = trust.remove_partner(connection, domain)
            bump(connection)
            return done

    def partners(self) -> tuple[Partner, ...]:
        """Every partner, by domain."""
        with self._database.reading() as connection:
            return trust.partners(connection)

    def partner(self, domain: str) -> Partner | None:
        """The partner of this domain."""
        with self._database.reading() as connection:
            found = trust.partners(connection, domain)
        return found[0] if found else None

    # Settings

    def setting(self, key: str) -> str | None:
        """A named text."""
        return self._remember(("setting", key), lambda: self.register.read(key))

    def change_setting(self, key: str, value: str) -> None:
        """Set a named text."""
        with self._database.writing() as connection:
            row = insert(connection, schema.setting).values(key=key, value=value)
            connection.execute(
                row.on_conflict_do_update(index_elements=["key"], set_={"value": value})
            )
            bump(connection)

    # Inside

    def _remember(self, key: object, compute: Callable[[], T]) -> T:
        generation = self.generation()
        if self._memory[0] != generation or len(self._memory[1]) > MAXIMUM_MEMORY:
            self._memory = (generation, {})
        memory = self._memory[1]  # a slow answer lands in the memory of its own time
        if key not in memory:
            memory[key] = compute()
        return cast("T", memory[key])

    def _candidates(self, mailbox: Mailbox) -> tuple[Candidate, ...]:
        own, domain = mailbox.key, f"@{mailbox.domain_key}"
        whose = {"own": own, "domain": domain}
        rows = self._database.glance(lambda it: it.execute(_CANDIDATES, whose).all())
        found = []
        for der, source, address in rows:
            certificate = revive(der)
            issuers = self.issuers_of(certificate)
            found.append(Candidate(certificate, source, issuers, domain=address == domain))
        return tuple(found)

    def _correspondent(self, mailbox: Mailbox) -> Correspondent:
        return self._database.glance(lambda it: correspondent.read(it, mailbox.key))

    def _issuers(self, name: bytes) -> tuple[Certificate, ...]:
        found: dict[Certificate, None] = {}
        names = {name_id(name)}
        for _ in range(MAXIMUM_CLIMB):
            level = [one for one in self._named(names) if one not in found]
            found.update(dict.fromkeys(level))
            names = {name_id(one.issuer) for one in level}
            if not level or len(found) >= MAXIMUM_ISSUERS:
                break
        return tuple(found)

    def _named(self, names: set[str]) -> list[Certificate]:
        """The authorities of these names, roots left out."""
        given = {"names": sorted(names)}
        rows = self._database.glance(lambda it: it.execute(_AUTHORITIES, given).all())
        return [one for (der,) in rows if (one := revive(der)).issuer != one.subject]

    def _certificate(self, fingerprint: str) -> Certificate:
        return self._database.glance(lambda it: listing.certificate(it, fingerprint))

    def _anchors(self, scopes: Sequence[str]) -> Anchors:
        with self._database.reading() as connection:
            return trust.anchors(connection, scopes)


def _has_use(connection: Connection, certificate: Certificate, key: str) -> bool:
    match = and_(_A.c.address == key, _A.c.fingerprint == certificate.fingerprint)
    return connection.execute(select(_A.c.address).where(match)).first() is not None
