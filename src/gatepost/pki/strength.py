"""Whether a certificate's key, and the signature on it, are strong enough to mean anything.

RSA under 2048 bits (NIST SP 800-131A), curves under 256 bits, MD5 and SHA-1 are not; RSA
over 16384 bits is refused because every use of it costs the victim, not the attacker.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
    x448,
    x25519,
)

from gatepost.certificate import Certificate
from gatepost.pki.der import items

MINIMUM_RSA = 2048
MAXIMUM_RSA = 16384
MINIMUM_CURVE = 256
_RSA_SECURITY = ((15360, 256), (7680, 192), (4096, 140), (3072, 128), (2048, 112), (0, 80))
WEAK_DIGESTS = frozenset({"md2", "md4", "md5", "sha1"})


@lru_cache(maxsize=4096)
def key_weakness(certificate: Certificate) -> str:
    """Why the key is not acceptable; empty when it is."""
    key = certificate.public_key
    match key:
        case rsa.RSAPublicKey():
            if key.key_size < MINIMUM_RSA:
                return f"its RSA key of {key.key_size} bits is shorter than {MINIMUM_RSA}"
            if key.key_size > MAXIMUM_RSA:
                return f"its RSA key of {key.key_size} bits is longer than {MAXIMUM_RSA}"
        case ec.EllipticCurvePublicKey():
            if key.curve.key_size < MINIMUM_CURVE:
                return f"its curve {key.curve.name} is shorter than {MINIMUM_CURVE} bits"
            if not _names_its_curve(certificate):
                return "its curve is written out instead of named, which RFC 5480 forbids"
        case dsa.DSAPublicKey():
            return "its key is a DSA key, which is no longer accepted"
        case (
            ed25519.Ed25519PublicKey()
            | ed448.Ed448PublicKey()
            | x25519.X25519PublicKey()
            | x448.X448PublicKey()
            | mldsa.MLDSA44PublicKey()
            | mldsa.MLDSA65PublicKey()
            | mldsa.MLDSA87PublicKey()
            | mlkem.MLKEM768PublicKey()
            | mlkem.MLKEM1024PublicKey()
        ):
            return ""
        case _:
            return f"its key algorithm {_key_algorithm(certificate)} is not supported"
    return ""


@lru_cache(maxsize=4096)
def security(certificate: Certificate) -> int:
    """About how many bits an attacker must guess (NIST SP 800-57 part 1, table 2)."""
    match certificate.public_key:
        case rsa.RSAPublicKey() as key:
            return next(bits for size, bits in _RSA_SECURITY if key.key_size >= size)
        case ec.EllipticCurvePublicKey() as key:
            return key.curve.key_size // 2
        case x448.X448PublicKey() | ed448.Ed448PublicKey():
            return 224
        case mlkem.MLKEM768PublicKey():
            return 192
        case mlkem.MLKEM1024PublicKey():
            return 256
        case None:
            return 0
    return 128


@lru_cache(maxsize=4096)
def signature_weakness(certificate: Certificate) -> str:
    """Why its issuer's signature proves nothing any more; empty when it does."""
    try:
        digest = certificate.x509.signature_hash_algorithm
    except UnsupportedAlgorithm:
        oid = certificate.x509.signature_algorithm_oid.dotted_string
        return f"its signature algorithm {oid} is not supported"
    if digest is not None and digest.name in WEAK_DIGESTS:
        return f"{certificate.name!r} is signed with {digest.name.upper()}, which can be forged"
    return ""


def _names_its_curve(certificate: Certificate) -> bool:
    """RFC 5480 section 2.1.1: written-out parameters can be an attacker's (CVE-2020-0601)."""
    identifier = next(items(certificate.key_info))
    return [one[0] for one in items(identifier)] == [0x06, 0x06]


def _key_algorithm(certificate: Certificate) -> str:
    return certificate.x509.public_key_algorithm_oid.dotted_string
