"""Whether a key made a signature on a certificate or a revocation statement (RFC 5280 6.1.3 (a)).

RSA PKCS #1 and PSS, ECDSA, EdDSA and ML-DSA; every other algorithm, and every mistake, is no.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa

from gatepost.certificate import Certificate

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

MAXIMUM_REMEMBERED = 256  # algorithms
_Pure = (
    ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How a signature was made; without parameters RSA is read as PKCS #1."""

    oid: str
    digest: hashes.HashAlgorithm | None
    parameters: object = None


def signed_by(certificate: Certificate, key: CertificatePublicKeyTypes | None) -> bool:
    """Whether the key signed this certificate; names are another matter."""
    algorithm = algorithm_of(certificate)
    return algorithm is not None and made_by(
        key, certificate.x509.signature, certificate.signed, algorithm
    )


def algorithm_of(certificate: Certificate) -> Algorithm | None:
    """Read once for the same octets; nothing where inside and outside differ, or it is unknown."""
    octets = certificate.algorithm
    if octets in (known := _known):
        return known[octets]
    found = _algorithm(certificate.x509) if octets else None
    if len(known) < MAXIMUM_REMEMBERED:  # parameters are free, so strangers can write many
        known[octets] = found
    return found


_known: dict[bytes, Algorithm | None] = {}


def _algorithm(parsed: x509.Certificate) -> Algorithm | None:
    try:
        return Algorithm(
            parsed.signature_algorithm_oid.dotted_string,
            parsed.signature_hash_algorithm,
            parsed.signature_algorithm_parameters,
        )
    except Exception:  # noqa: BLE001  an algorithm that is not known signs nothing
        return None


def made_by(
    key: CertificatePublicKeyTypes | None,
    signature: bytes,
    octets: bytes,
    algorithm: Algorithm,
) -> bool:
    """Whether the key made the signature."""
    oid, digest = algorithm.oid, algorithm.digest
    try:
        match key:
            case rsa.RSAPublicKey() if digest is not None:
                key.verify(signature, octets, _padding(algorithm), digest)
            case ec.EllipticCurvePublicKey() if digest is not None and oid in _ECDSA:
                key.verify(signature, octets, ec.ECDSA(digest))
            case _ if isinstance(key, _Pure) and _identifier(key) == oid:
                key.verify(signature, octets)
            case _:
                return False
    except Exception:  # noqa: BLE001  wrong kind of key, forgery: all mean no
        return False
    return True


def _padding(algorithm: Algorithm) -> padding.PKCS1v15 | padding.PSS:
    if isinstance(algorithm.parameters, (padding.PKCS1v15, padding.PSS)):
        return algorithm.parameters
    if algorithm.oid not in _RSA:
        raise ValueError("not an algorithm of RSA")
    return padding.PKCS1v15()


def _identifier(key: _Pure) -> str:
    """Keys and signatures of these algorithms share one (RFC 8410, RFC 9881)."""
    return next(oid for kind, oid in _IDENTIFIERS.items() if isinstance(key, kind))


_ECDSA = {f"1.2.840.10045.4.3.{one}" for one in range(1, 5)} | {
    f"2.16.840.1.101.3.4.3.{one}" for one in range(9, 13)
}
_RSA = {f"1.2.840.113549.1.1.{one}" for one in (11, 12, 13, 14)} | {
    f"2.16.840.1.101.3.4.3.{one}" for one in range(13, 17)
}
_IDENTIFIERS: dict[type, str] = {
    ed25519.Ed25519PublicKey: "1.3.101.112",
    ed448.Ed448PublicKey: "1.3.101.113",
    mldsa.MLDSA44PublicKey: "2.16.840.1.101.3.4.3.17",
    mldsa.MLDSA65PublicKey: "2.16.840.1.101.3.4.3.18",
    mldsa.MLDSA87PublicKey: "2.16.840.1.101.3.4.3.19",
}
