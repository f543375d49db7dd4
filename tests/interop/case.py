"""What is tried with every peer, in both directions: one row of docs/interop.md each.

`by` says who can make such a message: what we only read, only a peer makes; what no peer has
an option for, only we.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.pki_builder import KeyKind

from gatepost.cms.capability import Digest, KeyTransport, SignatureFamily

Form = Literal["clear", "opaque"]
Direction = Literal["ours", "theirs"]  # who wrote it: we, and the peer reads it, or the peer
By = Literal["both", "theirs", "ours"]

FORMS: tuple[Form, ...] = ("clear", "opaque")
DIRECTIONS: tuple[Direction, ...] = ("ours", "theirs")
PASSWORD = b"interop"
SHARED_KEYS = {16: bytes(range(16)), 32: bytes(range(32))}
KEY_NAME = b"interop"


@dataclass(frozen=True, slots=True)
class Signature:
    """How a message is signed; one signer for each key."""

    name: str
    keys: tuple[KeyKind, ...]
    family: SignatureFamily | Literal["ed448"]
    digest: Digest
    by: By = "both"
    salt: int | None = None
    trait: Literal["", "key-id", "no-attributes", "stream", "list", "answer"] = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """How the content's key reaches one reader."""

    key: KeyKind | Literal["password", "kek"]
    transport: KeyTransport | None = None  # RSA
    digest: Digest = "sha256"  # of the key derivation
    family: Literal["std", "cofactor", "hkdf"] = "std"
    size: int = 32  # of the key that wraps


@dataclass(frozen=True, slots=True)
class Envelope:
    """How a message is encrypted."""

    name: str
    cipher: str
    recipients: tuple[Recipient, ...]
    by: By = "both"
    trait: Literal["", "attributes", "in-enveloped", "stream"] = ""
    first_only: bool = False  # only the first recipient reads it, with the others beside


@dataclass(frozen=True, slots=True)
class Compression:
    """A message made smaller."""

    name: str = "compressed-data (zlib)"
    by: By = "theirs"


Case = Signature | Envelope | Compression


def _rsa(digest: Digest, by: By = "both") -> Signature:
    return Signature(f"rsa-pkcs1-{digest}", ("rsa2048",), "rsa-pkcs1", digest, by)


def _pss(digest: Digest) -> Signature:
    return Signature(f"rsa-pss-{digest}", ("rsa2048",), "rsa-pss", digest)


def _ecdsa(curve: KeyKind, digest: Digest) -> Signature:
    return Signature(f"ecdsa-{curve}-{digest}", (curve,), "ecdsa", digest)


def _pure(key: KeyKind, family: SignatureFamily | Literal["ed448"]) -> Signature:
    return Signature(
        family,
        (key,),
        family,
        "shake256" if key == "ed448" else "sha512",
        by="theirs" if key == "ed448" else "both",
    )


SIGNATURES: tuple[Signature, ...] = (
    _rsa("sha1", "theirs"),
    *(_rsa(digest) for digest in ("sha256", "sha384", "sha512")),
    *(_pss(digest) for digest in ("sha256", "sha384", "sha512")),
    Signature("rsa-pss-sha256, salt of 20", ("rsa2048",), "rsa-pss", "sha256", salt=20),
    _ecdsa("p256", "sha256"),
    _ecdsa("p384", "sha384"),
    _ecdsa("p521", "sha512"),
    _ecdsa("bp256", "sha256"),
    _pure("ed25519", "ed25519"),
    _pure("ed448", "ed448"),
    _pure("ml-dsa-44", "ml-dsa-44"),
    _pure("ml-dsa-65", "ml-dsa-65"),
    _pure("ml-dsa-87", "ml-dsa-87"),
    Signature("two signers (RSA, P-256)", ("rsa2048", "p256"), "rsa-pkcs1", "sha256"),
    Signature("named by key identifier", ("p256",), "ecdsa", "sha256", "theirs", trait="key-id"),
    Signature(
        "no signed attributes", ("rsa2048",), "rsa-pkcs1", "sha256", "theirs", trait="no-attributes"
    ),
    Signature("streamed BER", ("rsa2048",), "rsa-pkcs1", "sha256", "theirs", trait="stream"),
    Signature(
        "revocation lists beside it", ("rsa2048",), "rsa-pkcs1", "sha256", "ours", trait="list"
    ),
    Signature(
        "OCSP answer beside it (RFC 5940)",
        ("rsa2048",),
        "rsa-pkcs1",
        "sha256",
        "ours",
        trait="answer",
    ),
)

_PKCS1 = Recipient("rsa2048", KeyTransport("rsa-pkcs1"))
_MIXED = (_PKCS1, Recipient("p256"))
_MODERN = (_PKCS1, Recipient("x25519", family="hkdf"), Recipient("ml-kem-768"))
_CBC = "aes128-cbc"  # what every peer writes


def _oaep(name: str, digest: Digest, mask: Digest, label: bytes = b"") -> Envelope:
    transport = KeyTransport("rsa-oaep", digest, mask, label)
    return Envelope(name, _CBC, (Recipient("rsa2048", transport),))


def _ecdh(curve: KeyKind, digest: Digest, by: By = "both") -> Envelope:
    name = f"ecdh-{curve}, kdf {digest}"
    return Envelope(name, _CBC, (Recipient(curve, digest=digest),), by)


def _one(name: str, key: KeyKind | Literal["password", "kek"], by: By = "both") -> Envelope:
    return Envelope(name, _CBC, (Recipient(key),), by)


KEYS: tuple[Envelope, ...] = (
    Envelope("rsa-pkcs1", _CBC, (_PKCS1,)),
    _oaep("rsa-oaep-sha1", "sha1", "sha1"),
    _oaep("rsa-oaep-sha256", "sha256", "sha256"),
    _oaep("rsa-oaep-sha384", "sha384", "sha384"),
    _oaep("rsa-oaep-sha512", "sha512", "sha512"),
    _oaep("rsa-oaep-sha256, mgf1 with sha1", "sha256", "sha1"),
    _oaep("rsa-oaep-sha256, label", "sha256", "sha256", b"interop"),
    _ecdh("p256", "sha1", "theirs"),
    _ecdh("p256", "sha256"),
    _ecdh("p256", "sha384", "theirs"),
    _ecdh("p256", "sha512", "theirs"),
    _ecdh("p384", "sha384"),
    _ecdh("p521", "sha512"),
    _ecdh("bp256", "sha256"),
    Envelope("ecdh-p256 with cofactor", _CBC, (Recipient("p256", family="cofactor"),), by="theirs"),
    Envelope("x25519, hkdf sha256", _CBC, (Recipient("x25519", family="hkdf"),)),
    Envelope("x25519, x9.63 kdf sha256", _CBC, (Recipient("x25519"),), "theirs"),
    Envelope("x448, hkdf sha512", _CBC, (Recipient("x448", digest="sha512", family="hkdf"),)),
    _one("ml-kem-768", "ml-kem-768"),
    _one("ml-kem-1024", "ml-kem-1024"),
    _one("password (pbkdf2)", "password", "theirs"),
    Envelope("shared key, aes128-wrap", _CBC, (Recipient("kek", size=16),), "theirs"),
    Envelope("shared key, aes256-wrap", _CBC, (Recipient("kek"),), "theirs"),
    Envelope("RSA and P-256 recipients", _CBC, _MIXED),
    Envelope("RSA, X25519 and ML-KEM recipients", _CBC, _MODERN),
    Envelope("RSA reader beside P-256", _CBC, _MIXED, first_only=True),
    Envelope("RSA reader beside X25519 and ML-KEM", _CBC, _MODERN, first_only=True),
)


def _content(cipher: str, by: By = "both") -> Envelope:
    return Envelope(cipher, cipher, (_PKCS1,), by)


CONTENTS: tuple[Envelope, ...] = (
    *(_content(f"aes{size}-cbc") for size in (128, 192, 256)),
    *(_content(f"aes{size}-gcm") for size in (128, 192, 256)),
    *(_content(f"aes{size}-ccm", "theirs") for size in (128, 192, 256)),
    _content("3des-cbc", "theirs"),
    Envelope("aes128-gcm to P-256", "aes128-gcm", (Recipient("p256"),)),
    Envelope("aes256-gcm to X25519", "aes256-gcm", (Recipient("x25519", family="hkdf"),)),
    Envelope("aes256-gcm to ML-KEM-768", "aes256-gcm", (Recipient("ml-kem-768"),)),
    Envelope("aes256-gcm with a password", "aes256-gcm", (Recipient("password"),), "theirs"),
    Envelope("aes256-gcm with attributes", "aes256-gcm", (_PKCS1,), "theirs", "attributes"),
    Envelope("aes256-gcm in EnvelopedData", "aes256-gcm", (_PKCS1,), "theirs", "in-enveloped"),
    Envelope("aes128-cbc, streamed BER", _CBC, (_PKCS1,), "theirs", "stream"),
)


def applies(case: Case, direction: Direction) -> bool:
    """Whether there is somebody to make it."""
    return case.by in ("both", direction)


TABLES: dict[str, tuple[Case, ...]] = {
    "Signatures": SIGNATURES,
    "Key management": KEYS,
    "Content": (*CONTENTS, Compression()),
}
