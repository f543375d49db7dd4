"""Private keys that are held elsewhere, in a token or in the key process, and only lent.

A `Held` key signs, decrypts and agrees like one in memory, but has no octets to export.
`as_key` dresses it as one of cryptography's, for a CA's signatures under certificates.
"""

# ruff: noqa: ARG002  the signatures are cryptography's

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn, Protocol, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asym_utils
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    KeySerializationEncryption,
    PrivateFormat,
)

from gatepost.certificate import Certificate
from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme
from gatepost.errors import ConfigError, Unsupported

Buffer = bytes | bytearray | memoryview

_DIGESTS: dict[str, Digest] = {
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
}


class Holder(Protocol):
    """Who has a key: does with it what is asked, or raises KeyUnavailable."""

    def sign(self, data: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the data itself."""
        ...

    def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
        """Recover a key sent by RSA key transport; raises DecryptionFailed."""
        ...

    def agree(self, public_key: bytes) -> bytes:
        """Agree with a peer's point; raises DecryptionFailed."""
        ...

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The secret in an ML-KEM ciphertext; raises DecryptionFailed."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A key held elsewhere: its public half, the box that leads to it, and its holder."""

    public: PublicKeyTypes
    key_id: str
    box: bytes = field(repr=False)
    holder: Holder = field(repr=False)

    def as_key(self) -> HeldRsa | HeldEc:
        """The key as cryptography's builders sign with it; raises Unsupported for other kinds."""
        if isinstance(self.public, rsa.RSAPublicKey):
            return HeldRsa(self, self.public)
        if isinstance(self.public, ec.EllipticCurvePublicKey):
            return HeldEc(self, self.public)
        raise Unsupported("a certification authority signs with RSA or ECDSA keys only")


@dataclass(frozen=True, slots=True)
class HeldSigner:
    """Signs with a held key."""

    certificate: Certificate
    chain: tuple[Certificate, ...]
    held: Held

    def sign(self, data: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the data itself; raises Unsupported when the key cannot sign so."""
        return self.held.holder.sign(data, scheme)


@dataclass(frozen=True, slots=True)
class HeldDecryptor:
    """Decrypts with a held key."""

    certificate: Certificate
    held: Held

    def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
        """Recover a key sent by RSA key transport; raises DecryptionFailed."""
        return self.held.holder.unwrap(encrypted_key, scheme)

    def agree(self, public_key: bytes) -> bytes:
        """Agree with a peer's point; raises DecryptionFailed."""
        return self.held.holder.agree(public_key)

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The secret in an ML-KEM ciphertext; raises DecryptionFailed."""
        return self.held.holder.decapsulate(ciphertext)


def _stays() -> NoReturn:
    raise ConfigError("this private key is held in a token or the key process and never leaves it")


class _Staying:
    """A key whose octets nobody gets; a copy of it is itself."""

    def private_bytes(
        self,
        encoding: Encoding,
        format: PrivateFormat,  # noqa: A002  cryptography's name
        encryption_algorithm: KeySerializationEncryption,
    ) -> bytes:
        """It never leaves."""
        _stays()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self


class HeldRsa(_Staying, rsa.RSAPrivateKey):
    """An RSA key held elsewhere; signs by PKCS #1 v1.5."""

    def __init__(self, held: Held, public: rsa.RSAPublicKey) -> None:
        self.held, self._public = held, public

    @property
    def key_size(self) -> int:
        """Bits of the modulus."""
        return self._public.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._public

    def sign(
        self,
        data: bytes,
        padding: padding.AsymmetricPadding,
        algorithm: asym_utils.Prehashed | hashes.HashAlgorithm | asym_utils.NoDigestInfo,
    ) -> bytes:
        """Sign as certificates and revocation lists are."""
        if padding.name != "EMSA-PKCS1-v1_5":
            raise Unsupported(f"a held key signs certificates by PKCS #1 v1.5, not {padding.name}")
        scheme = SignatureScheme("rsa-pkcs1", _digest(algorithm))
        return self.held.holder.sign(data, scheme)

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """Mail is decrypted through HeldDecryptor."""
        raise Unsupported(f"a held key does not decrypt by {padding.name} here")

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        """It never leaves."""
        _stays()


class HeldEc(_Staying, ec.EllipticCurvePrivateKey):
    """An EC key held elsewhere; signs by ECDSA."""

    def __init__(self, held: Held, public: ec.EllipticCurvePublicKey) -> None:
        self.held, self._public = held, public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits of the curve."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign as certificates and revocation lists are."""
        scheme = SignatureScheme("ecdsa", _digest(signature_algorithm.algorithm))
        return self.held.holder.sign(bytes(data), scheme)

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Mail is decrypted through HeldDecryptor."""
        raise Unsupported("a held key agrees through its decryptor")

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """It never leaves."""
        _stays()


def held_of(key: PrivateKeyTypes) -> Held | None:
    """The held key behind one of ours; None for a key in memory."""
    return key.held if isinstance(key, HeldRsa | HeldEc) else None


def _digest(
    algorithm: asym_utils.Prehashed | hashes.HashAlgorithm | asym_utils.NoDigestInfo,
) -> Digest:
    name = algorithm.name if isinstance(algorithm, hashes.HashAlgorithm) else "prehashed data"
    if name not in _DIGESTS:
        raise Unsupported(f"a held key does not sign {name}")
    return _DIGESTS[name]
