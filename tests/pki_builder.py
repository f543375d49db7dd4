"""A small PKI for tests: a root, an issuing CA, users, and software keys behind the capabilities.

Keys are made once per process and reused by name; certificates are as cheap as a signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import (
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    padding,
    rsa,
    x448,
    x25519,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gatepost.certificate import Certificate
from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme
from gatepost.errors import DecryptionFailed

KeyKind = Literal[
    "rsa1024",
    "rsa2048",
    "rsa3072",
    "p256",
    "p384",
    "p521",
    "bp256",
    "bp384",
    "bp512",
    "ed25519",
    "ed448",
    "x25519",
    "x448",
    "ml-dsa-44",
    "ml-dsa-65",
    "ml-dsa-87",
    "ml-kem-768",
    "ml-kem-1024",
]
Purpose = Literal["both", "sign", "encrypt"]
MlDsaKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
MlKemKey = mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey
EdwardsKey = ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
MontgomeryKey = x25519.X25519PrivateKey | x448.X448PrivateKey
PureKey = EdwardsKey | MlDsaKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | PureKey | MontgomeryKey | MlKemKey

BORN = datetime(2026, 1, 1, tzinfo=UTC)
DIES = datetime(2029, 1, 1, tzinfo=UTC)

_HASHES: dict[Digest, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@cache
def private_key(kind: KeyKind, name: str = "") -> PrivateKey:
    """The key of this kind and name: always the same within one process."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    return _OTHERS[kind].generate() if kind in _OTHERS else ec.generate_private_key(_CURVES[kind])


_CURVES: dict[KeyKind, ec.EllipticCurve] = {
    "p256": ec.SECP256R1(),
    "p384": ec.SECP384R1(),
    "p521": ec.SECP521R1(),
    "bp256": ec.BrainpoolP256R1(),
    "bp384": ec.BrainpoolP384R1(),
    "bp512": ec.BrainpoolP512R1(),
}
_OTHERS: dict[KeyKind, type[PureKey | MontgomeryKey | MlKemKey]] = {
    "ed25519": ed25519.Ed25519PrivateKey,
    "ed448": ed448.Ed448PrivateKey,
    "x25519": x25519.X25519PrivateKey,
    "x448": x448.X448PrivateKey,
    "ml-dsa-44": mldsa.MLDSA44PrivateKey,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey,
    "ml-kem-768": mlkem.MLKEM768PrivateKey,
    "ml-kem-1024": mlkem.MLKEM1024PrivateKey,
}


@dataclass(frozen=True, slots=True)
class SoftSigner:
    """A `Signer` whose key is in memory."""

    certificate: Certificate
    key: PrivateKey
    chain: tuple[Certificate, ...] = ()

    def sign(self, data: bytes, scheme: SignatureScheme) -> bytes:
        """Sign the data itself."""
        if isinstance(self.key, PureKey):
            return self.key.sign(data)
        assert isinstance(self.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
        digest = _HASHES[scheme.digest]
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            return self.key.sign(data, ec.ECDSA(digest))
        if scheme.family == "rsa-pss":
            salt = digest.digest_size if scheme.salt is None else scheme.salt
            return self.key.sign(data, padding.PSS(padding.MGF1(digest), salt), digest)
        return self.key.sign(data, padding.PKCS1v15(), digest)


@dataclass(frozen=True, slots=True)
class SoftDecryptor:
    """A `Decryptor` whose key is in memory."""

    certificate: Certificate
    key: PrivateKey

    def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
        """Recover a content-encryption key sent by RSA key transport."""
        if not isinstance(self.key, rsa.RSAPrivateKey):
            raise DecryptionFailed
        try:
            if scheme.family == "rsa-pkcs1":
                return self.key.decrypt(encrypted_key, padding.PKCS1v15())
            mask = padding.MGF1(_HASHES[scheme.mgf_digest])
            digest = _HASHES[scheme.digest]
            return self.key.decrypt(encrypted_key, padding.OAEP(mask, digest, scheme.label or None))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise DecryptionFailed from error

    def agree(self, public_key: bytes) -> bytes:
        """ECDH with an uncompressed point, or X25519 and X448 with a public key."""
        try:
            if isinstance(self.key, x25519.X25519PrivateKey):
                return self.key.exchange(x25519.X25519PublicKey.from_public_bytes(public_key))
            if isinstance(self.key, x448.X448PrivateKey):
                return self.key.exchange(x448.X448PublicKey.from_public_bytes(public_key))
            if isinstance(self.key, ec.EllipticCurvePrivateKey):
                peer = ec.EllipticCurvePublicKey.from_encoded_point(self.key.curve, public_key)
                return self.key.exchange(ec.ECDH(), peer)
        except ValueError as error:
            raise DecryptionFailed from error
        raise DecryptionFailed

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """The secret in an ML-KEM ciphertext."""
        if not isinstance(self.key, MlKemKey):
            raise DecryptionFailed
        try:
            return self.key.decapsulate(ciphertext)
        except ValueError as error:
            raise DecryptionFailed from error


@dataclass(frozen=True, slots=True)
class User:
    """An end entity: a certificate, its key and its issuers without the root."""

    certificate: Certificate
    key: PrivateKey
    chain: tuple[Certificate, ...]

    @property
    def signer(self) -> SoftSigner:
        """Signs in this user's name, issuers included."""
        return SoftSigner(self.certificate, self.key, self.chain)

    @property
    def decryptor(self) -> SoftDecryptor:
        """Opens this user's mail."""
        return SoftDecryptor(self.certificate, self.key)

    @property
    def key_der(self) -> bytes:
        """The private key as unencrypted PKCS #8 DER."""
        return self.key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def key_pem(self) -> bytes:
        """The private key as unencrypted PKCS #8 PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write `certificate.pem` and `key.pem` for a peer program; give both paths."""
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        certificate.write_text(self.certificate.pem)
        key.write_bytes(self.key_pem)
        return certificate, key


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA that issues whatever a test asks for."""

    certificate: Certificate
    key: PrivateKey
    chain: tuple[Certificate, ...] = ()  # itself and up, without the root

    def authority(
        self,
        name: str,
        kind: KeyKind = "p256",
        *,
        not_before: datetime = BORN,
        not_after: datetime = DIES,
    ) -> Authority:
        """A subordinate CA, such as an issuing CA."""
        key = private_key(kind, name)
        certificate = issue(
            name,
            key,
            self,
            emails=(),
            authority=True,
            not_before=not_before,
            not_after=not_after,
        )
        return Authority(certificate, key, (certificate, *self.chain))

    def user(
        self,
        *emails: str,
        kind: KeyKind = "rsa2048",
        purpose: Purpose = "both",
        key_name: str = "",
        not_before: datetime = BORN,
        not_after: datetime = DIES,
        extended: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
        key_id: bool = True,
    ) -> User:
        """An end entity with these addresses; the first one names it."""
        key = private_key(kind, key_name or f"{emails[0]} {purpose}")
        certificate = issue(
            emails[0],
            key,
            self,
            emails=emails,
            purpose=purpose,
            not_before=not_before,
            not_after=not_after,
            extended=extended,
            key_id=key_id,
        )
        return User(certificate, key, self.chain)


def root(name: str = "Test Root", kind: KeyKind = "p256") -> Authority:
    """A self-signed trust anchor."""
    key = private_key(kind, name)
    return Authority(issue(name, key, None, emails=(), authority=True), key)


@cache
def company(name: str = "Example", kind: KeyKind = "p256") -> Authority:
    """The issuing CA under a root of its own, cached: what most tests need."""
    return company_root(name, kind).authority(f"{name} Issuing CA", kind)


@cache
def company_root(name: str = "Example", kind: KeyKind = "p256") -> Authority:
    """The root above `company` of the same name."""
    return root(f"{name} Root", kind)


@cache
def user(
    email: str = "alice@example.com", kind: KeyKind = "rsa2048", purpose: Purpose = "both"
) -> User:
    """A user of the company "Example", cached."""
    return company().user(email, kind=kind, purpose=purpose)


def issue(
    name: str,
    key: PrivateKey,
    issuer: Authority | None,
    *,
    emails: Sequence[str],
    authority: bool = False,
    purpose: Purpose = "both",
    not_before: datetime = BORN,
    not_after: datetime = DIES,
    extended: Sequence[x509.ObjectIdentifier] | None = None,
    key_id: bool = True,
    serial: int | None = None,
) -> Certificate:
    """A certificate; without a serial number of its own it gets a random one."""
    public, issuer_key = key.public_key(), issuer.key if issuer else key
    assert not isinstance(issuer_key, MontgomeryKey | MlKemKey)  # such keys sign nothing
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.x509.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(_usage(key, purpose, authority=authority), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if key_id:
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public), critical=False
        )
    if emails:
        names = x509.SubjectAlternativeName([x509.RFC822Name(email) for email in emails])
        builder = builder.add_extension(names, critical=False)
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    digest = None if isinstance(issuer_key, PureKey) else hashes.SHA256()
    made = builder.sign(issuer_key, digest)
    return Certificate.from_der(made.public_bytes(serialization.Encoding.DER))


def _usage(key: PrivateKey, purpose: Purpose, *, authority: bool) -> x509.KeyUsage:
    end_entity, agreeing = not authority, ec.EllipticCurvePrivateKey | MontgomeryKey
    encrypts, signs = purpose in ("both", "encrypt"), purpose in ("both", "sign")
    return x509.KeyUsage(
        digital_signature=end_entity and signs and not isinstance(key, MontgomeryKey | MlKemKey),
        content_commitment=False,
        key_encipherment=end_entity and encrypts and isinstance(key, rsa.RSAPrivateKey | MlKemKey),
        data_encipherment=False,
        key_agreement=end_entity and encrypts and isinstance(key, agreeing),
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
