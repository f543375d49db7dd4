"""What a private key can be asked to do; the key itself stays in the vault.

The one sanctioned impurity of the ground floor: a `Signer` may sit in a token.
Raises KeyUnavailable when the key cannot be used now, DecryptionFailed never for RSA
PKCS #1 v1.5 (implicit rejection: garbage in gives random octets out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from gatepost.certificate import Certificate

Digest = Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """How to sign: RFC 8017 PKCS #1 v1.5 or PSS, ECDSA, Ed25519."""

    family: Literal["rsa-pkcs1", "rsa-pss", "ecdsa", "ed25519"]
    digest: Digest = "sha256"
    salt: int | None = None  # octets of PSS salt; None: as long as the digest


@dataclass(frozen=True, slots=True)
class KeyTransport:
    """How a content-encryption key is wrapped to an RSA key (RFC 3370, RFC 3560)."""

    family: Literal["rsa-pkcs1", "rsa-oaep"]
    digest: Digest = "sha256"
    mgf_digest: Digest = "sha256"
    label: bytes = b""


class Signer(Protocol):
    """Signs in the name of a certificate."""

    @property
    def certificate(self) -> Certificate:
        """The end-entity certificate."""
        ...

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """Its issuers, nearest first, without the trust anchor."""
        ...

    def sign(self, data: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the data itself (not its digest); ECDSA gives the DER form."""
        ...


class Decryptor(Protocol):
    """Opens what was encrypted to a certificate."""

    @property
    def certificate(self) -> Certificate:
        """The certificate whose private key this is."""
        ...

    def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
        """Recover a content-encryption key sent by key transport; raises DecryptionFailed."""
        ...

    def agree(self, public_key: bytes) -> bytes:
        """ECDH with a peer's public key (uncompressed point); gives Z; raises DecryptionFailed."""
        ...
