"""A private key in a PKCS #11 token: digests and paddings are ours, the bare operation its own.

The token never undoes a v1.5 padding (see `encoding`), and most know OAEP with SHA-1 only.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asym_utils
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme
from gatepost.errors import DecryptionFailed, KeyUnavailable, Unsupported
from gatepost.vault import encoding
from gatepost.vault.token import Token

MAGIC: Final = b"gatepost token\n\1"
_SECRET: Final = 32
_LENGTH: Final = struct.Struct(">B")
_RAW: Final = "RSA_X_509"
# RFC 8017 section 9.2 note 1: the DER that stands before a digest
_PREFIXES: dict[Digest, bytes] = {
    "sha224": bytes.fromhex("302d300d06096086480165030402040500041c"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """What a box holds instead of a key: where in the token it is, and its public half."""

    identity: bytes  # CKA_ID
    public: PublicKeyTypes
    secret: bytes = field(repr=False)  # of implicit rejection; the same on every node

    @classmethod
    def new(cls, identity: bytes, public: PublicKeyTypes) -> Reference:
        """To a key that was just made or found."""
        return cls(identity, public, os.urandom(_SECRET))

    @classmethod
    def parse(cls, plain: bytes) -> Reference:
        """Read what a box held."""
        rest = plain[len(MAGIC) + _SECRET :]
        secret, length = plain[len(MAGIC) : len(MAGIC) + _SECRET], rest[0]
        return cls(rest[1 : 1 + length], load_der_public_key(rest[1 + length :]), secret)

    def octets(self) -> bytes:
        """What is sealed."""
        public = self.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        size = _LENGTH.pack(len(self.identity))
        return MAGIC + self.secret + size + self.identity + public


@dataclass(frozen=True, slots=True)
class TokenKey:
    """The `Holder` of one key; without a token in the configuration nothing can be done."""

    reference: Reference
    token: Token | None

    def sign(self, data: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the data itself; raises Unsupported when the key cannot sign so."""
        prefix = _PREFIXES.get(scheme.digest)
        if prefix is None:
            raise Unsupported(f"a token does not sign with {scheme.digest.upper()}")
        digest = hashlib.new(scheme.digest, data).digest()
        match scheme.family, self.reference.public:
            case "rsa-pkcs1", rsa.RSAPublicKey():
                return self._sign(prefix + digest, "RSA_PKCS")
            case "rsa-pss", rsa.RSAPublicKey():
                return self._sign_pss(digest, scheme)
            case "ecdsa", ec.EllipticCurvePublicKey():
                return _signature(self._sign(digest, "ECDSA"))
        raise Unsupported(f"this key in the token cannot sign {scheme.family}")

    def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
        """Recover a key sent by RSA key transport; raises DecryptionFailed."""
        public = self.reference.public
        if not isinstance(public, rsa.RSAPublicKey):
            raise DecryptionFailed
        size = (public.key_size + 7) // 8
        number = int.from_bytes(encrypted_key, "big")
        if len(encrypted_key) != size or number >= public.public_numbers().n:  # both are public
            raise DecryptionFailed
        block = self._bare(encrypted_key).rjust(size, b"\0")
        if scheme.family == "rsa-pkcs1":
            return encoding.v15(block, self.reference.secret, encrypted_key)
        found = encoding.oaep(block, scheme.digest, scheme.mgf_digest, scheme.label)
        if found is None:
            raise DecryptionFailed
        return found

    def agree(self, public_key: bytes) -> bytes:
        """Agree with a peer's point, which is checked to be one of our curve."""
        public = self.reference.public
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise DecryptionFailed
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(public.curve, public_key)
        except ValueError:
            raise DecryptionFailed from None
        size = (public.key_size + 7) // 8

        def derive(key: Any) -> bytes:
            import pkcs11  # noqa: PLC0415  optional

            attribute = pkcs11.Attribute
            made = key.derive_key(
                pkcs11.KeyType.GENERIC_SECRET,
                size * 8,
                mechanism_param=(pkcs11.KDF.NULL, None, public_key),
                template={
                    attribute.TOKEN: False,
                    attribute.SENSITIVE: False,
                    attribute.EXTRACTABLE: True,
                },
            )
            return bytes(made[attribute.VALUE])

        return self._present().perform(self.reference.identity, derive).rjust(size, b"\0")

    def decapsulate(self, ciphertext: bytes) -> bytes:  # noqa: ARG002  the protocol's
        """No token here has ML-KEM keys."""
        raise DecryptionFailed

    def _sign(self, octets: bytes, mechanism: str) -> bytes:
        def sign(key: Any) -> bytes:
            import pkcs11  # noqa: PLC0415  optional

            return bytes(key.sign(octets, mechanism=pkcs11.Mechanism[mechanism]))

        return self._present().perform(self.reference.identity, sign)

    def _sign_pss(self, digest: bytes, scheme: SignatureScheme) -> bytes:
        salt = len(digest) if scheme.salt is None else scheme.salt
        name = scheme.digest.upper()

        def sign(key: Any) -> bytes:
            import pkcs11  # noqa: PLC0415  optional

            how = (pkcs11.Mechanism[name], pkcs11.MGF[name], salt)
            mechanism = pkcs11.Mechanism.RSA_PKCS_PSS
            return bytes(key.sign(digest, mechanism=mechanism, mechanism_param=how))

        return self._present().perform(self.reference.identity, sign)

    def _bare(self, encrypted_key: bytes) -> bytes:
        """RSA without any padding."""

        def decrypt(key: Any) -> bytes:
            import pkcs11  # noqa: PLC0415  optional

            return bytes(key.decrypt(encrypted_key, mechanism=pkcs11.Mechanism[_RAW]))

        return self._present().perform(self.reference.identity, decrypt)

    def _present(self) -> Token:
        if self.token is None:
            raise KeyUnavailable(
                "the key is in a token, and the configuration has no [vault.token]"
            )
        return self.token


def _signature(pair: bytes) -> bytes:
    """The DER form of r and s side by side (RFC 3279 section 2.2.3)."""
    half = len(pair) // 2
    r, s = int.from_bytes(pair[:half], "big"), int.from_bytes(pair[half:], "big")
    return asym_utils.encode_dss_signature(r, s)
