"""Of what kind a public key is: as much as trust asks of it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

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

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

# "signing", "agreeing" and "encapsulating" keys are of one size each and do nothing else.
Kind = Literal["rsa", "curve", "dsa", "signing", "agreeing", "encapsulating", "unknown"]


def kind_of(key: CertificatePublicKeyTypes | None) -> Kind:
    """`unknown` for what is not supported."""
    kind: type = type(key)
    return _kind(kind)


@lru_cache(maxsize=64)
def _kind(key: type) -> Kind:
    """There are few types, and asking them costs more than this memory."""
    return next((kind for kind, types in _TYPES.items() if issubclass(key, types)), "unknown")


_TYPES: Final[dict[Kind, tuple[type, ...]]] = {
    "rsa": (rsa.RSAPublicKey,),
    "curve": (ec.EllipticCurvePublicKey,),
    "dsa": (dsa.DSAPublicKey,),
    "signing": (
        ed25519.Ed25519PublicKey,
        ed448.Ed448PublicKey,
        mldsa.MLDSA44PublicKey,
        mldsa.MLDSA65PublicKey,
        mldsa.MLDSA87PublicKey,
    ),
    "agreeing": (x25519.X25519PublicKey, x448.X448PublicKey),
    "encapsulating": (mlkem.MLKEM768PublicKey, mlkem.MLKEM1024PublicKey),
}
