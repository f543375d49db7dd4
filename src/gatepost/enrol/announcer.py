"""Makes and signs the announcements of our own domains: docs/reference/federation.md.

One key signs for all domains of a directory; after it was replaced its predecessors sign
along, so that whoever knows only them can follow.  A document is made anew when there is
something new to say, or when half its life is over; its number is the time, so that even a
restored directory does not fall behind what partners have seen.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gatepost.certificate import Certificate
from gatepost.cms.algorithms import CAPABILITIES
from gatepost.cms.capability import SignatureScheme
from gatepost.enrol.local import LocalAuthority
from gatepost.errors import KeyUnavailable, Refused, Unavailable
from gatepost.pki import announcement
from gatepost.pki.announcement import Announcement
from gatepost.store.record import StoredKey
from gatepost.store.register import Register
from gatepost.vault.custody import PrivateKey

LIFE: Final = timedelta(days=14)
RENEWED: Final = timedelta(days=7)
_CARRIER_LIFE: Final = timedelta(days=36500)
_KEYS, _DOCUMENT = "federation.keys", "federation.document."
_PREDECESSORS: Final = 2
_ATTEMPTS: Final = 5
_SCHEME = SignatureScheme("ecdsa", "sha256")
_Signing = tuple[ec.EllipticCurvePublicKey, Callable[[bytes], bytes]]


@dataclass(frozen=True, slots=True)
class Announcer:
    """Speaks for our domains."""

    authority: LocalAuthority
    register: Register
    encryption: str = "wished"
    for_domains: bool = True  # announce certificates of whole domains

    def document(self, domain: str, now: datetime) -> str:
        """The document in force; raises Refused, Unavailable or KeyUnavailable."""
        if domain not in self.authority.domains:
            raise Refused(f"{domain} is not a domain of ours")
        for _ in range(_ATTEMPTS):
            known = self.register.read(_DOCUMENT + domain)
            last = announcement.read(known).announcement if known else None
            signing = self._signing(now)
            said = self._said(domain, announcement.thumbprint(signing[0][0]), last, now)
            if known and last and _still_holds(last, said, now):
                return known
            made = announcement.write(said, signing)
            if self.register.swap(_DOCUMENT + domain, known, made):
                return made
        raise Unavailable(f"the announcement of {domain} is being changed by others")

    def replace_key(self, now: datetime) -> str:
        """Sign with a new key from now on, and with the old ones beside it; its thumbprint."""
        for _ in range(_ATTEMPTS):
            known = self.register.read(_KEYS)
            if self._replaced(known, now):
                return announcement.thumbprint(self._signing(now)[0][0])
        raise Unavailable("the federation key is being changed by others")

    def _said(
        self, domain: str, key: str, last: Announcement | None, now: datetime
    ) -> Announcement:
        authority = self.authority
        issuing = tuple(one for one in (authority.issuing,) if one != authority.root)
        number = max(int(now.timestamp()), last.sequence + 1 if last else 0)
        return Announcement(
            domain=domain,
            sequence=number,
            issued=now.replace(microsecond=0),
            expires=now.replace(microsecond=0) + LIFE,
            key=key,
            authorities=(authority.root,),
            intermediates=issuing,
            certificates=self._domain_certificate(domain, now),
            algorithms=tuple(sorted(CAPABILITIES)),
            encryption=self.encryption,
        )

    def _domain_certificate(self, domain: str, now: datetime) -> tuple[Certificate, ...]:
        """RFC 3183; issued now if there is none or it runs out."""
        if not self.for_domains:
            return ()
        found = self.authority.directory.enrolled(f"@{domain}", "encrypt")
        if found is None or found.not_after - now < 2 * LIFE:
            found = self.authority.issue_domain(domain, now)
        return (found,)

    def _signing(self, now: datetime) -> list[_Signing]:
        """Our key and its predecessors, the present one first."""
        known = self.register.read(_KEYS)
        if known is None:
            self._replaced(None, now)
            known = self.register.read(_KEYS)
        names: list[str] = json.loads(known or "[]")
        return [self._lent(one) for one in names]

    def _lent(self, fingerprint: str) -> _Signing:
        certificate = self.authority.directory.entry(fingerprint).certificate
        signer = self.authority.vault.signer_of(certificate)
        key = certificate.public_key
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise KeyUnavailable("the federation key is of an unexpected kind")
        return key, lambda data: signer.sign(data, _SCHEME)

    def _replaced(self, known: str | None, now: datetime) -> bool:
        key = self.authority.vault.make("p256", "authority", "federation key")
        holder = carrier(key, "federation key", now)
        key_id, sealed = self.authority.vault.seal(key)
        stored = StoredKey(holder, key_id, "authority", sealed)
        self.authority.directory.add_key(stored, source="issued", now=now)
        names = [holder.fingerprint, *json.loads(known or "[]")[:_PREDECESSORS]]
        return self.register.swap(_KEYS, known, json.dumps(names))


def _still_holds(last: Announcement, said: Announcement, now: datetime) -> bool:
    return last.content == said.content and now < last.issued + RENEWED


def carrier(key: PrivateKey, title: str, now: datetime) -> Certificate:
    """A certificate that nobody is shown: private keys are kept with one."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(min(now + _CARRIER_LIFE, datetime(9999, 12, 31, tzinfo=now.tzinfo)))
        .sign(key, hashes.SHA256())
    )
    return Certificate.from_x509(made)
