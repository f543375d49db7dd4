"""Where private keys are: made, sealed into boxes, and opened from them.

`Safe` keeps them in this process, or in a token when told so; `vault.client` asks the key
process.  A box holds the key itself or, for one in a token, a reference to it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from gatepost.errors import KeyUnavailable
from gatepost.vault import token_key
from gatepost.vault.held import Held, held_of
from gatepost.vault.seal import Sealer
from gatepost.vault.token import Algorithm, Token
from gatepost.vault.token_key import Reference, TokenKey

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Owner = Literal["people", "authority", "passing"]  # the last live for days, and in no token
Opened = PrivateKeyTypes | Held


class Custody(Protocol):
    """What the vault asks of whoever keeps the keys."""

    def make(self, algorithm: Algorithm, owner: Owner, label: str) -> PrivateKey:
        """A new key, which `seal` boxes."""
        ...

    def seal(self, private_key: PrivateKeyTypes) -> tuple[str, bytes]:
        """Give a key's id (SHA-256 of its public half) and its box, bound to that id."""
        ...

    def open(self, key_id: str, box: bytes) -> Opened:
        """The key of a box; raises KeyUnavailable under another key, SealBroken when altered."""
        ...


@dataclass(frozen=True, slots=True)
class Safe:
    """Keys in this process; those of `made_in_token` are made in the token."""

    sealer: Sealer
    token: Token | None = None
    made_in_token: frozenset[Owner] = frozenset()

    def make(self, algorithm: Algorithm, owner: Owner, label: str) -> PrivateKey:
        """A new key; RSA takes 50 to 500 ms, in a token more."""
        if self.token is None or owner not in self.made_in_token:
            return generate(algorithm)
        return self.refer(*self.token.make(algorithm, label)).as_key()

    def adopt(self, label: str) -> PrivateKey:
        """A key that was made in the token by its own tools."""
        if self.token is None:
            raise KeyUnavailable("the configuration has no [vault.token]")
        return self.refer(*self.token.find(label)).as_key()

    def refer(self, identity: bytes, public: PublicKeyTypes) -> Held:
        """A key in the token, and its box."""
        reference, key_id = Reference.new(identity, public), key_id_of(public)
        box = self.sealer.seal(reference.octets(), key_id.encode())
        return Held(public, key_id, box, TokenKey(reference, self.token))

    def seal(self, private_key: PrivateKeyTypes) -> tuple[str, bytes]:
        """Box a key in memory; one that is held has its box."""
        if held := held_of(private_key):
            return held.key_id, held.box
        key_id = key_id_of(private_key.public_key())
        plain = private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return key_id, self.sealer.seal(plain, key_id.encode())

    def open(self, key_id: str, box: bytes) -> Opened:
        """Open a box; needs no token yet for a reference to one."""
        plain = self.sealer.unseal(box, key_id.encode())
        if plain.startswith(token_key.MAGIC):
            reference = Reference.parse(plain)
            return Held(reference.public, key_id, box, TokenKey(reference, self.token))
        return load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)


def generate(algorithm: Algorithm) -> PrivateKey:
    """A new key in memory; RSA takes 50 to 500 ms."""
    if algorithm == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, int(algorithm[3:]))


def public_octets(key: PublicKeyTypes | CertificatePublicKeyTypes) -> bytes:
    """The SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_id_of(public: PublicKeyTypes) -> str:
    """What a key's box is bound to."""
    return hashlib.sha256(public_octets(public)).hexdigest()
