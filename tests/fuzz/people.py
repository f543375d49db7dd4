"""People whose keys and certificates are the same in every process and on every machine.

A corpus is worth committing only if the message that opened yesterday opens today.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.pki_builder import Authority, KeyKind, PrivateKey, User, issue

from gatepost.pki.validate import Anchors

RSA = Path(__file__).parent / "rsa.pem"


def _rsa(_seed: int) -> PrivateKey:
    key = serialization.load_pem_private_key(RSA.read_bytes(), None)
    return cast("PrivateKey", key)


_KEYS: dict[KeyKind, Callable[[int], PrivateKey]] = {
    "rsa2048": _rsa,
    "p256": lambda seed: ec.derive_private_key(seed, ec.SECP256R1()),
    "p384": lambda seed: ec.derive_private_key(seed, ec.SECP384R1()),
    "ed25519": lambda seed: ed25519.Ed25519PrivateKey.from_private_bytes(_octets(seed, 32)),
    "x25519": lambda seed: x25519.X25519PrivateKey.from_private_bytes(_octets(seed, 32)),
    "ml-dsa-44": lambda seed: mldsa.MLDSA44PrivateKey.from_seed_bytes(_octets(seed, 32)),
    "ml-kem-768": lambda seed: mlkem.MLKEM768PrivateKey.from_seed_bytes(_octets(seed, 64)),
}


def _octets(seed: int, size: int) -> bytes:
    return seed.to_bytes(size, "big")


@cache
def authority() -> Authority:
    """The issuer of all; Ed25519 signs alike every time."""
    key = _KEYS["ed25519"](1000)
    return Authority(issue("Fuzz Root", key, None, emails=(), authority=True, serial=1), key)


@cache
def person(email: str, kind: KeyKind) -> User:
    """The one with this address and a key of this kind."""
    serial = 2 + sorted(_KEYS).index(kind) + 100 * len(email)
    key = _KEYS[kind](serial)
    certificate = issue(
        email,
        key,
        authority(),
        emails=(email,),
        serial=serial,
        extended=(ExtendedKeyUsageOID.EMAIL_PROTECTION,),
    )
    return User(certificate, key, ())


def anchors() -> Anchors:
    """Trust in the issuer of all."""
    return Anchors(frozenset({authority().certificate}))
