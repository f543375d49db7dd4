"""Whether a certificate's key, and the signature on it, are strong enough to mean anything.

RSA under 2048 bits (NIST SP 800-131A), curves under 256 bits, MD5 and SHA-1 are not; RSA
over 16384 bits is refused because every use of it costs the victim, not the attacker.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, mlkem, x448

from gatepost.certificate import Certificate
from gatepost.pki.der import after, inside, items
from gatepost.pki.signature import algorithm_of

MINIMUM_RSA = 2048
MAXIMUM_RSA = 16384
MINIMUM_CURVE = 256
_RSA_SIZES = (2048, 3072, 4096, 7680, 15360)
_RSA_SECURITY = (80, 112, 128, 140, 192, 256)  # below the first size, from it on, ...
WEAK_DIGESTS = frozenset({"md2", "md4", "md5", "sha1"})


def key_weakness(certificate: Certificate) -> str:
    """Why the key is not acceptable; empty when it is."""
    bits = certificate.key_bits
    match certificate.key_kind:
        case "rsa":
            if bits < MINIMUM_RSA:
                return f"its RSA key of {bits} bits is shorter than {MINIMUM_RSA}"
            if bits > MAXIMUM_RSA:
                return f"its RSA key of {bits} bits is longer than {MAXIMUM_RSA}"
        case "curve":
            if bits < MINIMUM_CURVE:
                return f"its curve {_curve(certificate)} is shorter than {MINIMUM_CURVE} bits"
            if not _names_its_curve(certificate.key_info):
                return "its curve is written out instead of named, which RFC 5480 forbids"
        case "dsa":
            return "its key is a DSA key, which is no longer accepted"
        case "unknown":
            return f"its key algorithm {_key_algorithm(certificate)} is not supported"
    return ""


def security(certificate: Certificate) -> int:
    """About how many bits an attacker must guess (NIST SP 800-57 part 1, table 2)."""
    match certificate.key_kind:
        case "rsa":
            return _RSA_SECURITY[bisect_right(_RSA_SIZES, certificate.key_bits)]
        case "curve":
            return certificate.key_bits // 2
    match certificate.public_key:
        case x448.X448PublicKey() | ed448.Ed448PublicKey():
            return 224
        case mlkem.MLKEM768PublicKey():
            return 192
        case mlkem.MLKEM1024PublicKey():
            return 256
        case None:
            return 0
    return 128


def signature_weakness(certificate: Certificate) -> str:
    """Why its issuer's signature proves nothing any more; empty when it does."""
    algorithm = algorithm_of(certificate)
    try:
        digest = algorithm.digest if algorithm else certificate.x509.signature_hash_algorithm
    except UnsupportedAlgorithm:
        oid = certificate.x509.signature_algorithm_oid.dotted_string
        return f"its signature algorithm {oid} is not supported"
    if digest is not None and digest.name in WEAK_DIGESTS:
        return f"{certificate.name!r} is signed with {digest.name.upper()}, which can be forged"
    return ""


def _names_its_curve(key_info: bytes) -> bool:
    """RFC 5480 section 2.1.1: written-out parameters can be an attacker's (CVE-2020-0601)."""
    start = inside(key_info, 0)
    return _is_two_names(key_info[start : after(key_info, start)])


@lru_cache(maxsize=64)
def _is_two_names(identifier: bytes) -> bool:
    return [one[0] for one in items(identifier)] == [0x06, 0x06]


def _curve(certificate: Certificate) -> str:
    key = certificate.public_key
    return key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else ""


def _key_algorithm(certificate: Certificate) -> str:
    return certificate.x509.public_key_algorithm_oid.dotted_string
