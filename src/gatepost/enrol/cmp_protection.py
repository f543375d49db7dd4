"""What proves who wrote a message of CMP: a password both know, or a signature.

RFC 9810 sections 5.1.3.1 and 5.1.3.3, with the algorithms of RFC 9481; the password's parameters
are bounded, for an answer that is not believed yet names its own.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gatepost.certificate import Certificate
from gatepost.cms import der
from gatepost.cms.capability import SignatureScheme, Signer
from gatepost.errors import Unsupported
from gatepost.pki.der import dotted, first, inside, items
from gatepost.pki.signature import Algorithm

ROUNDS: Final = 10_000
MOST_ROUNDS: Final = 100_000  # some hundredths of a second
_PBM: Final = "1.2.840.113533.7.66.13"
_SHA256, _HMAC_SHA256 = "2.16.840.1.101.3.4.2.1", "1.2.840.113549.2.9"
_RSA, _ECDSA, _ED25519 = "1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2", "1.3.101.112"
_HASHES: Final = {
    "1.3.14.3.2.26": "sha1",
    _SHA256: "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
_MACS: Final = {
    "1.3.6.1.5.5.8.1.2": "sha1",
    "1.2.840.113549.2.7": "sha1",
    _HMAC_SHA256: "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}
_SIGNATURES: Final = {
    _RSA: hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
    _ECDSA: hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
    _ED25519: None,
}


class Protection(Protocol):
    """How one side proves itself throughout a conversation."""

    @property
    def sender(self) -> bytes:
        """Its Name in DER."""
        ...

    @property
    def key_id(self) -> bytes:
        """By what the other side finds secret or certificate; empty: by the sender."""
        ...

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """That of the signature first, then its issuers."""
        ...

    def algorithm(self, salt: bytes) -> bytes:
        """The AlgorithmIdentifier of one message."""
        ...

    def over(self, octets: bytes, algorithm: bytes) -> bytes:
        """The proof over a message's octets."""
        ...


@dataclass(frozen=True, slots=True)
class Secret:
    """What both sides know, and the name it has there."""

    reference: str
    password: str = field(repr=False)

    @property
    def sender(self) -> bytes:
        """The reference, as RFC 9483 section 3.1 has it."""
        attribute = x509.NameAttribute(x509.NameOID.COMMON_NAME, self.reference)
        return x509.Name([attribute]).public_bytes()

    @property
    def key_id(self) -> bytes:
        """The reference."""
        return self.reference.encode()

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """None."""
        return ()

    def algorithm(self, salt: bytes) -> bytes:
        """PBMParameter."""
        parameter = der.sequence(
            der.octet_string(salt),
            der.sequence(der.oid(_SHA256)),
            der.integer(ROUNDS),
            der.sequence(der.oid(_HMAC_SHA256), der.NULL),
        )
        return der.sequence(der.oid(_PBM), parameter)

    def over(self, octets: bytes, algorithm: bytes) -> bytes:
        """The MAC."""
        return mac(algorithm, self.password.encode(), octets)


@dataclass(frozen=True, slots=True)
class Signature:
    """Somebody's certificate, whose key stays in the vault."""

    signer: Signer

    @property
    def sender(self) -> bytes:
        """The certificate's subject (RFC 9483 section 3.1)."""
        return self.signer.certificate.subject

    @property
    def key_id(self) -> bytes:
        """The certificate's subjectKeyIdentifier."""
        return self.signer.certificate.key_id or b""

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """RFC 9483 section 3.3: the signer's comes first."""
        return (self.signer.certificate, *self.signer.chain)

    def algorithm(self, salt: bytes) -> bytes:
        """That of the key; raises Unsupported."""
        del salt
        return signing(self.signer.certificate.public_key)[1]

    def over(self, octets: bytes, algorithm: bytes) -> bytes:
        """The signature; raises KeyUnavailable or Unsupported."""
        del algorithm
        return self.signer.sign(octets, signing(self.signer.certificate.public_key)[0])


def signing(key: object) -> tuple[SignatureScheme, bytes]:
    """How a key of this type signs here, and the AlgorithmIdentifier; raises Unsupported."""
    match key:
        case rsa.RSAPublicKey():
            return SignatureScheme("rsa-pkcs1", "sha256"), der.sequence(der.oid(_RSA), der.NULL)
        case ec.EllipticCurvePublicKey():
            return SignatureScheme("ecdsa", "sha256"), der.sequence(der.oid(_ECDSA))
        case ed25519.Ed25519PublicKey():
            return SignatureScheme("ed25519", "sha512"), der.sequence(der.oid(_ED25519))
    raise Unsupported("no message of CMP is signed with a key of this type")


def signature_algorithm(algorithm: bytes) -> Algorithm | None:
    """How a signature was made, if it is one that is read; raises IndexError or ValueError."""
    name = dotted(first(algorithm))
    return Algorithm(name, _SIGNATURES[name]) if name in _SIGNATURES else None


def is_mac(expected: bytes, found: bytes) -> bool:
    """Whether both are the same, in a time that does not tell how much of them is."""
    return hmac.compare_digest(expected, found)


def mac(algorithm: bytes, password: bytes, octets: bytes) -> bytes:
    """RFC 4211 section 4.4; raises IndexError, ValueError or KeyError for what is not that."""
    name, parameter = items(algorithm)
    if dotted(name) != _PBM:
        raise ValueError("another protection")
    salt, owf, count, code = items(parameter)
    rounds = int.from_bytes(count[inside(count, 0) :][:8], "big", signed=True)
    if not 1 <= rounds <= MOST_ROUNDS:
        raise ValueError("too many rounds")
    digest = _HASHES[dotted(first(owf))]
    key = hashlib.new(digest, password + salt[inside(salt, 0) :]).digest()
    for _ in range(rounds - 1):
        key = hashlib.new(digest, key).digest()
    return hmac.digest(key, octets, _MACS[dotted(first(code))])
