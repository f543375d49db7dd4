"""Certificates and private keys in files: PEM, DER and PKCS #12 (RFC 7292), in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs12,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES
from cryptography.x509 import Certificate as X509Certificate

from gatepost.certificate import Certificate
from gatepost.errors import ConfigError, Malformed
from gatepost.pki.identity import is_self_issued
from gatepost.pki.pem import read_certificates
from gatepost.vault.keys import check_pair
from gatepost.vault.software import SoftwareDecryptor, SoftwareSigner

MAXIMUM_SIZE = 8 << 20
Passphrase = Callable[[], bytes]  # called only when a file turns out to be encrypted

_ROUNDS = 100_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate, its issuers and its private key."""

    certificate: Certificate
    chain: tuple[Certificate, ...]  # nearest issuer first, without a root
    key: PrivateKeyTypes = field(repr=False)

    @property
    def signer(self) -> SoftwareSigner:
        """Signs with it."""
        return SoftwareSigner(self.certificate, self.chain, self.key)

    @property
    def decryptor(self) -> SoftwareDecryptor:
        """Decrypts with it."""
        return SoftwareDecryptor(self.certificate, self.key)


def read(path: Path, passphrase: Passphrase, beside: Sequence[Path] = ()) -> Credential:
    """Read a key with its certificate from one file, or its certificates from others."""
    octets = _octets(path)
    if b"-----BEGIN" in octets:
        key, certificates = _pem(path, octets, passphrase)
    else:
        key, certificates = _binary(path, octets, passphrase)
    for other in beside:
        certificates += certificates_in(other)
    return matched(key, certificates, f"the private key of {path}")


def matched(key: PrivateKeyTypes, certificates: Sequence[Certificate], said: str) -> Credential:
    """A key with the one of these certificates that is its own; raises ConfigError."""
    for one in certificates:
        try:
            check_pair(key, one)
        except ConfigError:
            continue
        return Credential(one, _chain(one, certificates), key)
    what = "no certificate given belongs to" if certificates else "no certificate was given for"
    raise ConfigError(f"{what} {said}", hint="name the certificate's file with --certificate")


def certificates_in(path: Path) -> tuple[Certificate, ...]:
    """Every certificate of a file in PEM, DER or PKCS #7; raises ConfigError."""
    octets = _octets(path)
    try:
        return read_certificates(octets)
    except Malformed as error:
        raise ConfigError(
            f"{path} holds no certificate, in PEM or DER, that can be read"
        ) from error


def is_key_file(path: Path) -> bool:
    """Whether a file holds a private key: PEM says so, and what is binary but no certificate."""
    octets = _octets(path)
    if b"-----BEGIN" in octets:
        return b"PRIVATE KEY-----" in octets
    try:
        read_certificates(octets)
    except Malformed:
        return True
    return False


def as_pkcs12(credential: Credential, passphrase: bytes) -> bytes:
    """As PKCS #12 with AES-256 and SHA-256, which Windows has read since 2018."""
    encryption = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_ROUNDS)
        .key_cert_algorithm(PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(passphrase)
    )
    return pkcs12.serialize_key_and_certificates(
        credential.certificate.name.encode(),
        credential.key,  # type: ignore[arg-type]  # the kinds a vault holds are all supported
        credential.certificate.x509,
        [one.x509 for one in credential.chain] or None,
        encryption,
    )


def as_pem(credential: Credential, passphrase: bytes) -> bytes:
    """As PEM: the key (encrypted if there is a passphrase), its certificate, the issuers."""
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    key = credential.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    certificates = (credential.certificate, *credential.chain)
    return key + "".join(one.pem for one in certificates).encode()


def _octets(path: Path) -> bytes:
    with path.open("rb") as file:
        octets = file.read(MAXIMUM_SIZE + 1)
    if len(octets) > MAXIMUM_SIZE:
        raise ConfigError(f"{path} is too large to hold a key or certificates")
    if not octets.strip():
        raise ConfigError(f"{path} is empty")
    return octets


def _pem(
    path: Path, octets: bytes, passphrase: Passphrase
) -> tuple[PrivateKeyTypes, tuple[Certificate, ...]]:
    blocks = _key_blocks(octets)
    if not blocks:
        raise ConfigError(f"{path} holds no private key")
    key = _unlocked(path, lambda secret: load_pem_private_key(blocks[0], secret), passphrase)
    return key, Certificate.from_pem(octets) if b"-----BEGIN CERTIFICATE-----" in octets else ()


def _key_blocks(octets: bytes) -> list[bytes]:
    found, block = [], list[bytes]()
    for line in octets.splitlines():
        if line.startswith(b"-----BEGIN ") and line.rstrip().endswith(b"PRIVATE KEY-----"):
            block = [line]
        elif block:
            block.append(line)
            if line.startswith(b"-----END "):
                found.append(b"\n".join(block) + b"\n")
                block = []
    return found


def _binary(
    path: Path, octets: bytes, passphrase: Passphrase
) -> tuple[PrivateKeyTypes, tuple[Certificate, ...]]:
    try:
        return load_der_private_key(octets, None), ()
    except (ValueError, TypeError):  # encrypted, or PKCS #12, or neither
        pass

    def load(secret: bytes | None) -> tuple[PrivateKeyTypes, tuple[Certificate, ...]]:
        key, leaf, others = pkcs12.load_key_and_certificates(octets, secret)
        if key is None:
            raise ConfigError(f"{path} holds no private key")
        every: list[X509Certificate] = [one for one in (leaf, *others) if one is not None]
        return key, tuple(Certificate.from_x509(one) for one in every)

    return _unlocked(path, load, passphrase)


def _unlocked(path: Path, load: Callable[[bytes | None], T], passphrase: Passphrase) -> T:
    """Try without a passphrase, then with one."""
    try:
        return load(None)
    except TypeError:
        pass  # PEM says that it is encrypted
    except ValueError as error:
        if "assword" not in str(error):
            raise ConfigError(
                f"{path} holds neither a certificate nor a private key that can be read",
                hint="PEM, DER and PKCS #12 can",
            ) from error
    try:
        return load(passphrase())
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} does not open with this passphrase") from error


def _chain(leaf: Certificate, certificates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The issuers above the leaf among these, nearest first, roots left out."""
    chain: list[Certificate] = []
    below = leaf
    while True:
        above = next((one for one in certificates if one.subject == below.issuer), None)
        if above is None or is_self_issued(above) or above in chain:
            return tuple(chain)
        chain.append(above)
        below = above
