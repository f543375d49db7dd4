"""What a private key can be asked to do; the key itself stays in the vault.

The one sanctioned impurity of the ground floor: a `Signer` may sit in a token.
Raises KeyUnavailable when the key cannot be used now, DecryptionFailed never for RSA
PKCS #1 v1.5 (implicit rejection: garbage in gives random octets out).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from gatepost.certificate import Certificate

Digest = Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "shake256"]
SignatureFamily = Literal[
    "rsa-pkcs1", "rsa-pss", "ecdsa", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"
]


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """How to sign: RFC 8017 PKCS #1 v1.5 or PSS, ECDSA, Ed25519, ML-DSA.

    The last two sign the data itself; `digest` is then that of the content alone.
    """

    family: SignatureFamily
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
        """ECDH with a peer's public key; gives Z; raises DecryptionFailed.

        The key is an uncompressed point, for X25519 and X448 the octets of RFC 7748.
        """
        ...


@runtime_checkable
class Decapsulator(Protocol):
    """What a `Decryptor` whose key is one for ML-KEM can do besides (RFC 9629)."""

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The shared secret; a wrong ciphertext gives another one, or raises DecryptionFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Password:
    """What opens a message encrypted with a password (PasswordRecipientInfo)."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SharedKey:
    """What opens a message encrypted under a key both sides have (KEKRecipientInfo)."""

    key: bytes = field(repr=False)
    key_id: bytes | None = None  # None: try it whatever the message names


Secret = Password | SharedKey
