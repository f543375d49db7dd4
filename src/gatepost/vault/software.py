"""Private keys in memory, behind the capabilities the cryptographic packages ask for.

RSA PKCS #1 v1.5 decryption rejects implicitly (a wrong ciphertext gives octets nobody can
predict): whoever sends us ciphertexts must not learn which of them were well formed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed25519,
    mldsa,
    mlkem,
    padding,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from gatepost.certificate import Certificate
from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme
from gatepost.errors import DecryptionFailed, Unsupported

_DIGESTS: dict[Digest, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),  # noqa: S303  named so that `sign` can refuse it by name
    "sha1": hashes.SHA1(),  # noqa: S303  OAEP with SHA-1 is still what many senders use
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_BROKEN = frozenset({"md5", "sha1"})
_PURE = frozenset({"ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"})  # no digest of their own


@dataclass(frozen=True, slots=True)
class SoftwareKey:
    """The `held.Holder` of a key in memory."""

    key: PrivateKeyTypes = field(repr=False)

    def sign(self, data: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the data itself; raises Unsupported when the key cannot sign so."""
        if scheme.digest in _BROKEN and scheme.family not in _PURE:
            raise Unsupported(f"nothing is signed with {scheme.digest.upper()} any more")
        if scheme.family in _PURE:
            return self._sign_itself(data, scheme)
        digest = _DIGESTS.get(scheme.digest)
        if digest is None:
            raise Unsupported(f"nothing but data itself is signed with {scheme.digest.upper()}")
        match scheme.family, self.key:
            case "rsa-pkcs1", rsa.RSAPrivateKey() as key:
                return key.sign(data, padding.PKCS1v15(), digest)
            case "rsa-pss", rsa.RSAPrivateKey() as key:
                salt = digest.digest_size if scheme.salt is None else scheme.salt
                return _pss(key, data, digest, salt)
            case "ecdsa", ec.EllipticCurvePrivateKey() as key:
                return key.sign(data, ec.ECDSA(digest))
        raise _unfit(scheme)

    def _sign_itself(self, data: bytes, scheme: SignatureScheme) -> bytes:
        match scheme.family, self.key:
            case "ed25519", ed25519.Ed25519PrivateKey() as key:
                return key.sign(data)
            case "ml-dsa-44", mldsa.MLDSA44PrivateKey() as key:
                return key.sign(data)
            case "ml-dsa-65", mldsa.MLDSA65PrivateKey() as key:
                return key.sign(data)
            case "ml-dsa-87", mldsa.MLDSA87PrivateKey() as key:
                return key.sign(data)
        raise _unfit(scheme)

    def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
        """Recover a key sent by RSA key transport; raises DecryptionFailed."""
        if not isinstance(self.key, rsa.RSAPrivateKey):
            raise DecryptionFailed
        try:
            return self.key.decrypt(encrypted_key, _padding(scheme))
        except (ValueError, UnsupportedAlgorithm):  # v1.5: only for a wrong length, which is public
            raise DecryptionFailed from None

    def agree(self, public_key: bytes) -> bytes:
        """Agree with a peer's point, which is checked to be one of our curve."""
        try:
            match self.key:
                case ec.EllipticCurvePrivateKey() as key:
                    point = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, public_key)
                    return key.exchange(ec.ECDH(), point)
                case x25519.X25519PrivateKey() as key:
                    return key.exchange(x25519.X25519PublicKey.from_public_bytes(public_key))
                case x448.X448PrivateKey() as key:
                    return key.exchange(x448.X448PublicKey.from_public_bytes(public_key))
        except (ValueError, UnsupportedAlgorithm):
            raise DecryptionFailed from None
        raise DecryptionFailed

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The secret in an ML-KEM ciphertext; one that is wrong gives another secret."""
        if not isinstance(self.key, mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey):
            raise DecryptionFailed
        try:
            return self.key.decapsulate(ciphertext)
        except ValueError:  # only for a wrong length, which is public
            raise DecryptionFailed from None


def _unfit(scheme: SignatureScheme) -> Unsupported:
    return Unsupported(f"this kind of key cannot sign {scheme.family}")


def _pss(key: rsa.RSAPrivateKey, data: bytes, digest: hashes.HashAlgorithm, salt: int) -> bytes:
    try:
        return key.sign(data, padding.PSS(padding.MGF1(digest), salt), digest)
    except ValueError:  # RFC 8017 section 9.1.1: the key is too short for digest and salt
        raise Unsupported(f"an RSA key of {key.key_size} bits has no room for this PSS") from None


@dataclass(frozen=True, slots=True)
class SoftwareSigner:
    """Signs with a key in memory."""

    certificate: Certificate
    chain: tuple[Certificate, ...]
    key: PrivateKeyTypes = field(repr=False)

    def sign(self, data: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the data itself; raises Unsupported when the key cannot sign so."""
        return SoftwareKey(self.key).sign(data, scheme)


@dataclass(frozen=True, slots=True)
class SoftwareDecryptor:
    """Decrypts with a key in memory."""

    certificate: Certificate
    key: PrivateKeyTypes = field(repr=False)

    def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
        """Recover a key sent by RSA key transport; raises DecryptionFailed."""
        return SoftwareKey(self.key).unwrap(encrypted_key, scheme)

    def agree(self, public_key: bytes) -> bytes:
        """Agree with a peer's point, which is checked to be one of our curve."""
        return SoftwareKey(self.key).agree(public_key)

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The secret in an ML-KEM ciphertext; one that is wrong gives another secret."""
        return SoftwareKey(self.key).decapsulate(ciphertext)


def _padding(scheme: KeyTransport) -> padding.AsymmetricPadding:
    if scheme.family == "rsa-pkcs1":
        return padding.PKCS1v15()
    mask = padding.MGF1(_DIGESTS[scheme.mgf_digest])
    return padding.OAEP(mask, _DIGESTS[scheme.digest], scheme.label or None)
