"""Whether a key made a signature on a certificate or a revocation statement (RFC 5280 6.1.3 (a)).

RSA PKCS #1 and PSS, ECDSA, EdDSA and ML-DSA; every other algorithm, and every mistake, is no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, padding, rsa

from gatepost.certificate import Certificate
from gatepost.pki.der import after, inside

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_Pure = (
    ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)


def signed_by(certificate: Certificate, key: CertificatePublicKeyTypes | None) -> bool:
    """Whether the key signed this certificate; names are another matter."""
    if key is None or not _one_algorithm(certificate):
        return False
    parsed = certificate.x509
    try:
        _verify(key, parsed)
    except Exception:  # noqa: BLE001  unknown algorithm, wrong kind of key, forgery: all mean no
        return False
    return True


def _verify(key: CertificatePublicKeyTypes, parsed: x509.Certificate) -> None:
    octets, parameters = parsed.tbs_certificate_bytes, parsed.signature_algorithm_parameters
    match key:
        case rsa.RSAPublicKey() if isinstance(parameters, (padding.PKCS1v15, padding.PSS)):
            digest = parsed.signature_hash_algorithm
            if digest is None:
                raise ValueError("no digest")
            key.verify(parsed.signature, octets, parameters, digest)
        case ec.EllipticCurvePublicKey() if isinstance(parameters, ec.ECDSA):
            key.verify(parsed.signature, octets, parameters)
        case _ if isinstance(key, _Pure) and _fits(key, parsed):
            key.verify(parsed.signature, octets)
        case _:
            raise ValueError("the key does not fit the algorithm")


def _fits(key: _Pure, parsed: x509.Certificate) -> bool:
    """Keys and signatures of these algorithms share one identifier (RFC 8410, RFC 9881)."""
    return _IDENTIFIERS[type(key).__name__.lstrip("_").lower().removesuffix("publickey")] == (
        parsed.signature_algorithm_oid.dotted_string
    )


_IDENTIFIERS = {
    "ed25519": "1.3.101.112",
    "ed448": "1.3.101.113",
    "mldsa44": "2.16.840.1.101.3.4.3.17",
    "mldsa65": "2.16.840.1.101.3.4.3.18",
    "mldsa87": "2.16.840.1.101.3.4.3.19",
}


def _one_algorithm(certificate: Certificate) -> bool:
    """RFC 5280 section 4.1.1.2: the algorithm inside and the one outside are the same."""
    der = certificate.der
    tbs = inside(der, 0)
    outside = after(der, tbs)
    position = inside(der, tbs)
    if der[position] == 0xA0:  # version
        position = after(der, position)
    within = after(der, position)  # behind serialNumber
    return der[within : after(der, within)] == der[outside : after(der, outside)]
