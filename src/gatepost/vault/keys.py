"""The vault: takes private keys in, keeps them sealed, and lends them as Signer and Decryptor.

A key is validated once, when it comes in; read back from its own authenticated box it is
trusted (validating RSA costs 30 to 100 ms).  Parsed keys are kept until somebody changes
the directory.  Raises KeyUnavailable when a box does not open under our key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal, Protocol

import structlog
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from gatepost.certificate import Certificate
from gatepost.cms.capability import Decryptor, Signer
from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.events import Name
from gatepost.mail.address import Mailbox
from gatepost.pki.usable import Use, usable_for
from gatepost.vault.custody import Custody, Opened, Owner, PrivateKey, Safe, public_octets
from gatepost.vault.held import Held, HeldDecryptor, HeldSigner, Holder
from gatepost.vault.seal import SealBroken, Sealer
from gatepost.vault.software import SoftwareDecryptor, SoftwareKey, SoftwareSigner
from gatepost.vault.token import Algorithm

Purpose = Literal["sign", "encrypt", "both", "authority"]
Source = Literal["issued", "pinned", "imported", "harvested"]

_log = structlog.get_logger("gatepost.vault")

MAXIMUM_OPEN = 10_000  # parsed keys kept; some 5 KiB each


class SealedKey(Protocol):
    """A private key at rest, as a directory holds it."""

    @property
    def certificate(self) -> Certificate:
        """The certificate it belongs to."""
        ...

    @property
    def key_id(self) -> str:
        """What its box is bound to."""
        ...

    @property
    def purpose(self) -> Purpose:
        """What it is for."""
        ...

    @property
    def sealed(self) -> bytes:
        """The box."""
        ...


class KeyStore(Protocol):
    """What the vault needs of a directory."""

    def generation(self) -> int:
        """Changes whenever anything changes."""
        ...

    def keys_for(self, address: Mailbox | str) -> Sequence[SealedKey]:
        """The keys filed for an address, those valid longest first."""
        ...

    def key_of(self, certificate: Certificate) -> SealedKey | None:
        """The key of a certificate."""
        ...

    def issuers_of(self, certificate: Certificate) -> tuple[Certificate, ...]:
        """Its intermediates, nearest first."""
        ...

    def revoked(self) -> frozenset[str]:
        """Fingerprints of certificates that were taken back: their keys only decrypt."""
        ...

    def keep_key(
        self,
        certificate: Certificate,
        key_id: str,
        purpose: Purpose,
        sealed: bytes,
        *,
        addresses: Iterable[Mailbox | str],
        source: Source,
        now: datetime,
    ) -> None:
        """Keep a sealed key."""
        ...


class Vault:
    """Lends the private keys of one directory."""

    def __init__(self, directory: KeyStore, custody: Custody | Sealer) -> None:
        self._directory = directory
        self._custody = Safe(custody) if isinstance(custody, Sealer) else custody
        self._open: dict[tuple[str, bytes], Opened] = {}
        self._lent: tuple[int, dict[str, tuple[_Pair, ...]]] = (-1, {})

    def __repr__(self) -> str:
        return f"Vault({self._directory!r})"

    def make(self, algorithm: Algorithm, owner: Owner, label: str) -> PrivateKey:
        """A new key, where the configuration has keys made; takes its time."""
        return self._custody.make(algorithm, owner, label)

    def seal(self, private_key: PrivateKeyTypes) -> tuple[str, bytes]:
        """Give a key's id (SHA-256 of its public half) and its box, bound to that id."""
        return self._custody.seal(private_key)

    def add(
        self,
        private_key: PrivateKeyTypes,
        certificate: Certificate,
        purpose: Purpose = "both",
        *,
        addresses: Iterable[Mailbox | str],
        source: Source = "imported",
        now: datetime,
    ) -> None:
        """Take in a key and its certificate; raises ConfigError when they are not a pair."""
        check_pair(private_key, certificate)
        key_id, sealed = self.seal(private_key)
        self._directory.keep_key(
            certificate, key_id, purpose, sealed, addresses=addresses, source=source, now=now
        )

    def signer_for(self, mailbox: Mailbox, now: datetime) -> Signer | None:
        """The best key to sign with in this mailbox's name: usable, and valid longest."""
        return self._best(mailbox, "sign", now)

    def encryption_certificate_for(self, mailbox: Mailbox, now: datetime) -> Certificate | None:
        """The best certificate to encrypt to this mailbox whose private key is here."""
        best = self._best(mailbox, "encrypt", now)
        return best.certificate if best else None

    def decryptors_for(self, mailbox: Mailbox) -> tuple[Decryptor, ...]:
        """Every key that may open this mailbox's mail: its own, old ones too, then its domain's."""
        pairs = self._pairs(mailbox.key) + self._pairs(f"@{mailbox.domain_key}")
        return tuple(decryptor for _, _, decryptor in pairs)

    def signer_of(self, certificate: Certificate) -> Signer:
        """The key of one certificate; raises KeyUnavailable when it is not here."""
        key = self._opened(certificate)
        return _signer(certificate, self._directory.issuers_of(certificate), key)

    def holder_of(self, key_id: str, sealed: bytes) -> Holder:
        """A key that has no certificate yet, by its box; raises KeyUnavailable or SealBroken."""
        opened = self._custody.open(key_id, sealed)
        return opened.holder if isinstance(opened, Held) else SoftwareKey(opened)

    def private_key_of(self, certificate: Certificate) -> PrivateKeyTypes:
        """The key itself, for export and for an authority; raises KeyUnavailable.

        One that is held elsewhere signs, but does not give its octets.
        """
        opened = self._opened(certificate)
        return opened.as_key() if isinstance(opened, Held) else opened

    def _opened(self, certificate: Certificate) -> Opened:
        found = self._directory.key_of(certificate)
        if found is None:
            raise KeyUnavailable(f"the private key of {certificate.name!r} is not here")
        return self._unseal(found)

    def _best(self, mailbox: Mailbox, use: Use, now: datetime) -> Signer | None:
        revoked = self._directory.revoked()
        for purpose, signer, _ in self._pairs(mailbox.key):
            if signer.certificate.fingerprint in revoked:
                continue
            if purpose in {use, "both"} and not usable_for(signer.certificate, use, now):
                return signer
        return None

    def _pairs(self, address: str) -> tuple[_Pair, ...]:
        generation = self._directory.generation()
        if self._lent[0] != generation:
            self._lent = (generation, {})
        lent = self._lent[1]
        pairs = lent.get(address)  # held here: another thread may clear what is remembered
        if pairs is None:
            pairs = tuple(self._whole(self._directory.keys_for(address)))
            if len(lent) >= MAXIMUM_OPEN:
                lent.clear()
            lent[address] = pairs
        return pairs

    def _whole(self, keys: Iterable[SealedKey]) -> Iterator[_Pair]:
        """The keys whose boxes open; one damaged box must not stop a person's other keys."""
        for key in keys:
            try:
                yield self._pair(key)
            except SealBroken as error:
                _log.error(Name.SERVICE_ERROR, service="vault", key=key.key_id, reason=str(error))

    def _pair(self, key: SealedKey) -> _Pair:
        opened, certificate = self._unseal(key), key.certificate
        chain = self._directory.issuers_of(certificate)
        return (
            key.purpose,
            _signer(certificate, chain, opened),
            _decryptor(certificate, opened),
        )

    def _unseal(self, key: SealedKey) -> Opened:
        name = (key.key_id, key.sealed)
        opened = self._open.get(name)
        if opened is None:
            opened = self._custody.open(key.key_id, key.sealed)
            if len(self._open) >= MAXIMUM_OPEN:
                self._open.clear()
            self._open[name] = opened
        return opened


_Pair = tuple[Purpose, Signer, Decryptor]


def _signer(certificate: Certificate, chain: tuple[Certificate, ...], key: Opened) -> Signer:
    if isinstance(key, Held):
        return HeldSigner(certificate, chain, key)
    return SoftwareSigner(certificate, chain, key)


def _decryptor(certificate: Certificate, key: Opened) -> Decryptor:
    if isinstance(key, Held):
        return HeldDecryptor(certificate, key)
    return SoftwareDecryptor(certificate, key)


def check_pair(private_key: PrivateKeyTypes, certificate: Certificate) -> None:
    """Raise ConfigError unless the certificate certifies this key."""
    public = certificate.public_key
    if public is None or public_octets(private_key.public_key()) != public_octets(public):
        raise ConfigError(f"the private key is not the one of certificate {certificate.name!r}")
