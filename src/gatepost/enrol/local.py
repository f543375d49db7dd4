"""The company's own certification authority: a root, an issuing CA, certificates at first mail.

Both CA keys lie sealed in the vault; the root's is needed only when the issuing CA is
renewed.  Synchronous: making RSA keys takes its time, so the engine calls it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gatepost.certificate import Certificate
from gatepost.cms.capability import Signer
from gatepost.enrol import profile, status
from gatepost.enrol.barring import barring
from gatepost.enrol.pointer import Pointers
from gatepost.enrol.profile import Issuer, Kind
from gatepost.errors import ConfigError, KeyUnavailable, Refused, Unavailable, Unsupported
from gatepost.mail.address import Mailbox, domain_key
from gatepost.pki.identity import DOMAIN_SIGNER
from gatepost.pki.signature import signed_by
from gatepost.store.directory import Directory
from gatepost.store.ledger import PublishedList
from gatepost.store.record import Address, KeyPurpose, StoredKey, address_key
from gatepost.store.request import KINDS, Usage
from gatepost.vault.custody import PrivateKey, generate
from gatepost.vault.keys import Vault
from gatepost.vault.software import SoftwareSigner
from gatepost.vault.token import Algorithm

REHEARSAL = "not issued yet"
RENEWED = timedelta(days=30)  # before the end
MAXIMUM = 1000  # authorities of one company
ROOT, ISSUING = "authority.root", "authority.issuing"

# RFC 3183 section 3.3: the name by which domain encryption is known.
DOMAIN_LOCAL = "domain-confidentiality-authority"


class Identity(NamedTuple):
    """What a mailbox of ours signs with, and what others encrypt to it with."""

    signer: Signer
    encryption: Certificate


@dataclass(frozen=True, slots=True)
class LocalAuthority:
    """The CA of one directory.

    `user_key` is the algorithm of people's keys.  RSA 2048 is the default: every mail program
    of the last twenty years reads it, it signs four times as fast as RSA 3072, and it is
    accepted through 2030 (NIST SP 800-57), longer than any certificate issued here lives.
    """

    directory: Directory
    vault: Vault
    domains: frozenset[str]  # as `domain_key`s: nobody else is certified
    user_key: Algorithm = "rsa2048"
    pointers: Pointers = profile.NOWHERE

    @classmethod
    def create(
        cls,
        directory: Directory,
        vault: Vault,
        company: str,
        domains: Iterable[str],
        *,
        algorithm: Algorithm = "p256",
        user_key: Algorithm = "rsa2048",
        constrained: bool = False,
        pointers: Pointers = profile.NOWHERE,
        now: datetime,
    ) -> LocalAuthority:
        """Found the CA; raises ConfigError when there is one.

        `constrained` binds the issuing CA to the domains (RFC 5280 name constraints): partners
        need trust it for nothing else, but another domain later needs a new issuing CA.
        """
        own = frozenset(domain_key(domain) for domain in domains)
        company = " ".join(company.split())
        if not company or not own:
            raise ConfigError("a certification authority needs a company name and a domain")
        root_key = vault.make(algorithm, "authority", f"{company} root CA")
        issuing_key = vault.make(algorithm, "authority", f"{company} issuing CA")
        root = profile.root(company, root_key, now)
        issuing = profile.issuing(
            company,
            issuing_key,
            Issuer(root, root_key),
            now,
            own if constrained else None,
            pointers=pointers,
        )
        keys = [
            StoredKey(one, *_filed(vault, key, "authority"))
            for one, key in ((root, root_key), (issuing, issuing_key))
        ]
        settings = {ROOT: root.fingerprint, ISSUING: issuing.fingerprint}
        directory.found(keys, settings, now=now)
        return cls(directory, vault, own, user_key, pointers)

    @property
    def root(self) -> Certificate:
        """The anchor to give to partners; raises Unavailable before the CA is founded."""
        return self._certificate(ROOT)

    @property
    def issuing(self) -> Certificate:
        """The CA that issues now."""
        return self._certificate(ISSUING)

    def ensure(self, mailbox: Mailbox, now: datetime, *, one_key: bool = False) -> Identity:
        """Give what a mailbox signs with and is encrypted to, issuing what lacks or runs out.

        Certificates imported for the mailbox count.  Of several processes that issue at once,
        one wins and all give its answer.
        """
        signer = self.vault.signer_for(mailbox, now)
        if signer is None or self._runs_out(signer.certificate, mailbox, "sign", now):
            made = self.current(mailbox, "both" if one_key else "sign", now)
            signer = self.vault.signer_of(made)
        encryption = self.vault.encryption_certificate_for(mailbox, now)
        if encryption is None or self._runs_out(encryption, mailbox, "encrypt", now):
            encryption = self.current(mailbox, "both" if one_key else "encrypt", now)
        return Identity(signer, encryption)

    def rehearse(self, mailbox: Mailbox, now: datetime, *, one_key: bool = False) -> Identity:
        """What `ensure` would issue, by a CA and with keys that are thrown away; keeps nothing."""
        above = generate("p256")
        issuer = Issuer(profile.root(REHEARSAL, above, now), above)
        key = generate(self.user_key)
        kinds: tuple[Kind, ...] = ("both",) if one_key else ("sign", "encrypt")
        made = [profile.user(mailbox.key, kind, key, issuer, now) for kind in kinds]
        return Identity(SoftwareSigner(made[0], (), key), made[-1])

    def issue(self, mailbox: Mailbox, kind: Kind, now: datetime) -> Certificate:
        """Issue a new certificate to a mailbox and make it the current one of its kind."""
        current = self.directory.enrolled(mailbox, KINDS[kind][0])
        return self._issue(mailbox.key, mailbox, kind, current, now)

    def issue_domain(self, domain: str, now: datetime) -> Certificate:
        """Issue a certificate with which a whole domain is encrypted to (RFC 3183)."""
        address = f"@{domain_key(domain)}"
        current = self.directory.enrolled(address, "encrypt")
        return self._issue(_name_of(address), address, "encrypt", current, now)

    def issue_domain_signer(self, domain: str, now: datetime) -> Certificate:
        """Issue a certificate that signs in a whole domain's name (RFC 3183)."""
        return self.issue(Mailbox(DOMAIN_SIGNER, domain_key(domain)), "sign", now)

    def renew_issuing(self, now: datetime) -> Certificate:
        """Put a new issuing CA under the root; certificates of the old one stay valid."""
        root, old = self.root, self.issuing
        above = Issuer(root, self._key(root))
        key = self.vault.make(profile.algorithm_of(above.key), "authority", "issuing CA")
        domains = self.domains if profile.is_constrained(old) else None
        made = profile.issuing(
            profile.company_of(root), key, above, now, domains, pointers=self.pointers
        )
        stored = StoredKey(made, *_filed(self.vault, key, "authority"))
        self.directory.succeed(stored, ISSUING, old, now=now)
        return self.issuing

    # Taking back, and saying so

    def revoke(self, certificate: Certificate, reason: str, now: datetime) -> bool:
        """Take a certificate of ours back; false when it was.  Its key stays, to decrypt with.

        The list that says so is published at once.
        """
        issuer = self._issuer_of(certificate)
        if issuer is None:
            raise Refused(f"{certificate.name!r} was not issued by this authority")
        done = self.directory.ledger.revoke(certificate, issuer, reason, now)
        if done:
            self._publish(issuer, now)
        return done

    def has_issued(self, certificate: Certificate) -> bool:
        """Whether it is one of ours."""
        return self._issuer_of(certificate) is not None

    def release(self, certificate: Certificate, now: datetime) -> bool:
        """End a certificate's suspension."""
        issuer = self._issuer_of(certificate)
        done = issuer is not None and self.directory.ledger.release(certificate, issuer)
        if done and issuer is not None:
            self._publish(issuer, now)
        return done

    @property
    def authorities(self) -> tuple[Certificate, ...]:
        """The root and every issuing CA that was ever under it, the present one first."""
        root = self.root
        ours = (one.certificate for one in self.directory.find(authority=True, limit=MAXIMUM))
        below = (one for one in ours if one.issuer == root.subject and one != root)
        return (self.issuing, *(one for one in below if one != self.issuing), root)

    def revocations(self, authority: Certificate, now: datetime) -> PublishedList | None:
        """The list of one of our authorities, signed anew when it is due and the key is here."""
        last = self.directory.ledger.published(authority)
        age = status.ROOT_LIST_AGE if authority == self.root else status.LIST_AGE
        if last is not None and last.this_update <= now < last.this_update + age:
            return last
        try:
            return self._publish(authority, now)
        except KeyUnavailable:  # the root lies in a safe
            return last

    def renew_root_list(self, now: datetime) -> PublishedList:
        """Sign the root's list anew, to last until its key is here the next time."""
        return self._publish(self.root, now)

    def lend(self, authority: Certificate) -> Issuer:
        """One of our authorities with its key; raises KeyUnavailable."""
        return Issuer(authority, self._key(authority))

    def _publish(self, authority: Certificate, now: datetime) -> PublishedList:
        issuer = self.lend(authority)
        ledger = self.directory.ledger
        last = ledger.published(authority)
        life = status.ROOT_LIST_LIFE if authority == self.root else status.LIST_LIFE
        return ledger.publish(
            authority,
            lambda number, entries: status.signed_list(issuer, number, entries, now, life),
            now=now,
            after=last.number if last else None,
        )

    def _issuer_of(self, certificate: Certificate) -> Certificate | None:
        for one in self.authorities:
            if certificate != one and _is_issued_by(certificate, one):
                return one
        return None

    def _check_barred(self, address: Address, kind: Usage) -> None:
        """Who left, or is suspended, gets no new one by writing mail."""
        if reason := barring(self.directory, address, kind):
            name = _name_of(address)
            raise Refused(
                f"the certificate of {name} was revoked ({reason}): "
                f"gatepost cert issue {name} makes a new one"
            )

    def current(self, address: Address, kind: Kind, now: datetime) -> Certificate:
        """The certificate of this kind issued to an address, or to `@domain`; a new one in time."""
        known = {one: self.directory.enrolled(address, one) for one in KINDS[kind]}
        for one in known:
            self._check_barred(address, one)
        first = known[KINDS[kind][0]]
        if first is not None and all(
            held == first and not self._runs_out(first, address, one, now)
            for one, held in known.items()
        ):
            return first
        return self._issue(_name_of(address), address, kind, first, now)

    def _runs_out(
        self, certificate: Certificate, address: Address, kind: Usage, now: datetime
    ) -> bool:
        """Whether to renew: only what we issued; an imported one is its owner's affair."""
        if certificate.fingerprint in self.directory.revoked():
            return True
        if certificate.not_after - now >= RENEWED:
            return False
        if certificate.not_after == self.root.not_after and now < certificate.not_after:
            return False  # a new one would end no later
        if certificate != self.directory.enrolled(address, kind):
            return False
        # one from outside that a rule no longer names is used to its end
        return now >= certificate.not_after or self.has_issued(certificate)

    def _issue(
        self,
        name: str,
        address: Address,
        kind: Kind,
        replacing: Certificate | None,
        now: datetime,
    ) -> Certificate:
        domain = domain_key(name.rpartition("@")[2])
        if domain not in self.domains:
            raise Refused(f"{domain} is not a domain of ours: no certificate for {name}")
        if not name.isascii():
            raise Unsupported(f"{name}: a certificate cannot carry a non-ASCII local-part yet")
        # slow: before anything is looked up to be signed
        key = self.vault.make(self.user_key, "people", f"{name} {kind}")
        issuer = self._issuer(now)
        made = profile.user(name, kind, key, issuer, now, pointers=self.pointers)
        stored = StoredKey(made, *_filed(self.vault, key, kind))
        return self.directory.enrol(address, kind, stored, replacing=replacing, now=now)

    def _issuer(self, now: datetime) -> Issuer:
        issuing = self.issuing
        end = self.root.not_after
        if issuing.not_after - now < profile.USER_LIFE and now < end > issuing.not_after:
            with suppress(KeyUnavailable):  # the root lies in a safe: shorter ones until it comes
                issuing = self.renew_issuing(now)  # else users' certificates would be clipped short
        if not issuing.not_before <= now < issuing.not_after:
            raise Unavailable(
                f"the issuing CA {issuing.name!r} is valid from {issuing.not_before:%Y-%m-%d} "
                f"to {issuing.not_after:%Y-%m-%d}"
            )
        return Issuer(issuing, self._key(issuing))

    def _key(self, certificate: Certificate) -> PrivateKey:
        key = self.vault.private_key_of(certificate)
        if not isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
            raise KeyUnavailable(f"the key of {certificate.name!r} is of an unexpected kind")
        return key

    def _certificate(self, setting: str) -> Certificate:
        fingerprint = self.directory.setting(setting)
        if fingerprint is None:
            raise Unavailable("this directory has no certification authority: run `gatepost init`")
        return self.directory.certificate(fingerprint)


def _name_of(address: Address) -> str:
    """What stands in the certificate."""
    key = address_key(address)
    return f"{DOMAIN_LOCAL}{key}" if key.startswith("@") else key


def exists(directory: Directory) -> bool:
    """Whether a CA was founded here."""
    return directory.setting(ROOT) is not None


def _filed(vault: Vault, key: PrivateKey, purpose: KeyPurpose) -> tuple[str, KeyPurpose, bytes]:
    key_id, sealed = vault.seal(key)
    return key_id, purpose, sealed


def _is_issued_by(certificate: Certificate, authority: Certificate) -> bool:
    return certificate.issuer == authority.subject and signed_by(certificate, authority.public_key)
