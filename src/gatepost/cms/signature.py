"""Signature values checked against a certificate's key (RFC 4056, 5754, 8419, 9882).

What a key may be used for counts: one certified for RSASSA-PSS alone verifies nothing else.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    padding,
    rsa,
    utils,
)

from gatepost.certificate import Certificate
from gatepost.cms import algorithms, ber, identifier
from gatepost.cms.capability import Digest, SignatureFamily
from gatepost.cms.digest import HASHES
from gatepost.cms.identifier import SignatureAlgorithm
from gatepost.errors import GatepostError

MINIMUM_RSA = 1024  # below this a signature proves nothing (2048 is asked for by `pki`)
# These sign the data itself: without signed attributes the content, not its digest
PURE = frozenset(("ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"))

_MlDsa = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
_PureKey = ed25519.Ed25519PublicKey | ed448.Ed448PublicKey | _MlDsa

ML_DSA: dict[SignatureFamily, type[_MlDsa]] = {
    "ml-dsa-44": mldsa.MLDSA44PublicKey,
    "ml-dsa-65": mldsa.MLDSA65PublicKey,
    "ml-dsa-87": mldsa.MLDSA87PublicKey,
}


def check(
    certificate: Certificate,
    algorithm: SignatureAlgorithm,
    signature: bytes,
    data: bytes,
    digest: Digest,
    *,
    hashed: bool = False,
) -> str:
    """Why the signature does not verify with this certificate, if so.

    `data` is what was signed or, if `hashed`, its digest.
    """
    if algorithm.family in ("rsa-pkcs1", "rsa-pss"):
        reason = _rsa_objection(certificate, algorithm)
        if reason:
            return reason
    over = HASHES[digest]
    try:
        if _verified(certificate.public_key, algorithm, signature, data, over, hashed=hashed):
            return ""
    except InvalidSignature:
        return "the signature does not verify: attributes or key differ"
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"the signature cannot be checked: {error}"
    return f"a {algorithm.family} signature cannot be checked with this certificate's key"


def _verified(
    key: object,
    algorithm: SignatureAlgorithm,
    signature: bytes,
    data: bytes,
    digest: hashes.HashAlgorithm,
    *,
    hashed: bool,
) -> bool:
    """Whether key and algorithm fit; raises InvalidSignature if the signature does not."""
    family = algorithm.family
    over = utils.Prehashed(digest) if hashed else digest
    if isinstance(key, rsa.RSAPublicKey) and family in ("rsa-pkcs1", "rsa-pss"):
        key.verify(signature, data, _padding(algorithm), over)
    elif isinstance(key, ec.EllipticCurvePublicKey) and family == "ecdsa":
        key.verify(signature, data, ec.ECDSA(over))
    elif isinstance(key, dsa.DSAPublicKey) and family == "dsa":
        key.verify(signature, data, over)
    elif isinstance(key, _pure_key(family)) and not hashed:
        key.verify(signature, data)
    else:
        return False
    return True


def _pure_key(family: str) -> tuple[type[_PureKey], ...]:
    if family == "ed25519":
        return (ed25519.Ed25519PublicKey,)
    if family == "ed448":
        return (ed448.Ed448PublicKey,)
    return tuple(kind for name, kind in ML_DSA.items() if name == family)


def _padding(algorithm: SignatureAlgorithm) -> padding.AsymmetricPadding:
    if algorithm.family == "rsa-pkcs1":
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(HASHES[algorithm.mgf_digest]), algorithm.salt)


def _rsa_objection(certificate: Certificate, algorithm: SignatureAlgorithm) -> str:
    key = certificate.public_key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < MINIMUM_RSA:
        return f"an RSA key of {key.key_size} bits proves nothing"
    only = certified_for(certificate)
    if only == "rsa-oaep":
        return "the certificate's key is for RSA-OAEP only"
    if only != "rsa-pss":
        return ""
    if algorithm.family != "rsa-pss":
        return "the certificate's key is for RSASSA-PSS only"
    try:
        limits = pss_limits(certificate)
    except GatepostError as error:
        return f"the certificate's RSASSA-PSS parameters cannot be read: {error}"
    # RFC 4055 3.3: digest and mask as the key says, the salt at least as long
    if limits is not None and (
        (limits.digest, limits.mgf_digest) != (algorithm.digest, algorithm.mgf_digest)
        or algorithm.salt < limits.salt
    ):
        return "the RSASSA-PSS parameters are not those the certificate's key is for"
    return ""


@lru_cache(maxsize=4096)
def certified_for(certificate: Certificate) -> str:
    """What an RSA key is restricted to: "rsa-pss", "rsa-oaep" or, for any use, "rsa-pkcs1"."""
    dotted = certificate.x509.public_key_algorithm_oid.dotted_string
    found = algorithms.BY_DOTTED.get(dotted)
    return "" if found is None else found.name


@lru_cache(maxsize=1024)
def pss_limits(certificate: Certificate) -> SignatureAlgorithm | None:
    """The RSASSA-PSS parameters a key is certified for; None: any.  Raises Malformed."""
    fields = ber.parse(certificate.der).sequence()[0].sequence()
    public_key = fields[6 if fields[0].tag == 0xA0 else 5]
    encoded = public_key.sequence()[0]
    if len(encoded.sequence()) < 2:
        return None
    return identifier.signature_algorithm(identifier.raw(encoded))
