"""Every algorithm Gatepost knows, in one dated table (RFC 8551 and what updates it).

`create_from` is since when we make it (None: never), `accept_until` until when a reader
should take it without a complaint (None: no end in sight); `weak` is reported to people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from gatepost.cms import der
from gatepost.cms.capability import Digest

Kind = Literal[
    "digest",
    "signature",
    "transport",
    "agreement",
    "encapsulation",
    "derivation",
    "wrap",
    "cipher",
    "mask",
    "mac",
    "compression",
]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm."""

    name: str
    oid: str
    kind: Kind
    family: str  # "sha2", "rsa-pss", "cbc", "stddh" …
    create_from: date | None
    accept_until: date | None = None
    weak: bool = False
    size: int = 0  # octets: of the digest, or of the key
    digest: Digest | None = None  # when the OID fixes one

    @property
    def contents(self) -> bytes:
        """The content octets of the OID."""
        return der.oid_contents(self.oid)


_NEVER = None
_2010 = date(2010, 1, 1)
_2019 = date(2019, 4, 1)  # RFC 8551
_2025 = date(2025, 10, 1)  # RFC 9882, RFC 9936
_SHA1_ENDS = date(2030, 12, 31)  # NIST, December 2022
_ENDED = date(2018, 12, 31)  # long broken; still read, always flagged
_TDES_ENDS = date(2023, 12, 31)  # NIST SP 800-131A revision 2


def _rsa(digest: Digest, arc: int, *, weak: bool = False) -> Algorithm:
    name, oid = f"rsa-pkcs1-{digest}", f"1.2.840.113549.1.1.{arc}"
    return Algorithm(name, oid, "signature", "rsa-pkcs1", _NEVER, weak=weak, digest=digest)


def _ecdsa(digest: Digest, arc: str, since: date | None, *, weak: bool = False) -> Algorithm:
    name, oid = f"ecdsa-{digest}", f"1.2.840.10045.4.{arc}"
    return Algorithm(name, oid, "signature", "ecdsa", since, weak=weak, digest=digest)


def _ecdh(
    family: str, digest: Digest, oid: str, since: date | None, *, weak: bool = False
) -> Algorithm:
    name = f"ecdh-{family}-{digest}"
    return Algorithm(name, oid, "agreement", family, since, weak=weak, digest=digest)


def _ecka(digest: Digest, arc: int, *, weak: bool = False) -> Algorithm:
    """BSI TR-03111 ECKA-EG with the X9.63 KDF: what "std" does, under other names."""
    name, oid = f"ecka-eg-{digest}", f"0.4.0.127.0.7.1.1.5.1.1.{arc}"
    return Algorithm(name, oid, "agreement", "std", _NEVER, weak=weak, digest=digest)


def _hkdf(digest: Digest, arc: int, since: date | None) -> Algorithm:
    name, oid = f"hkdf-{digest}", f"1.2.840.113549.1.9.16.3.{arc}"
    return Algorithm(name, oid, "derivation", "hkdf", since, digest=digest)


def _hmac(digest: Digest, arc: int) -> Algorithm:
    name, oid = f"hmac-{digest}", f"1.2.840.113549.2.{arc}"
    return Algorithm(name, oid, "mac", "hmac", _NEVER, digest=digest)


def _wrap(family: str, size: int, arc: int, since: date | None, *, pad: str = "") -> Algorithm:
    name, oid = f"aes{size * 8}-wrap{pad}", f"2.16.840.1.101.3.4.1.{arc}"
    return Algorithm(name, oid, "wrap", family, since, size=size)


TABLE: tuple[Algorithm, ...] = (
    Algorithm("md5", "1.2.840.113549.2.5", "digest", "md5", _NEVER, _ENDED, weak=True, size=16),
    Algorithm("sha1", "1.3.14.3.2.26", "digest", "sha1", _NEVER, _SHA1_ENDS, weak=True, size=20),
    Algorithm("sha224", "2.16.840.1.101.3.4.2.4", "digest", "sha2", _NEVER, size=28),
    Algorithm("sha256", "2.16.840.1.101.3.4.2.1", "digest", "sha2", _2010, size=32),
    Algorithm("sha384", "2.16.840.1.101.3.4.2.2", "digest", "sha2", _2010, size=48),
    Algorithm("sha512", "2.16.840.1.101.3.4.2.3", "digest", "sha2", _2010, size=64),
    Algorithm("shake256", "2.16.840.1.101.3.4.2.12", "digest", "sha3", _NEVER, size=64),
    # RFC 8419 2.3: the length stands in the parameters, and is 512 bits
    Algorithm(
        "shake256-512",
        "2.16.840.1.101.3.4.2.18",
        "digest",
        "sha3",
        _NEVER,
        size=64,
        digest="shake256",
    ),
    Algorithm("mgf1", "1.2.840.113549.1.1.8", "mask", "mgf1", _2010),
    # Signatures.  Without a digest of its own the OID leaves it to digestAlgorithm.
    Algorithm("rsa-pkcs1", "1.2.840.113549.1.1.1", "signature", "rsa-pkcs1", _2010),
    Algorithm("rsa-pss", "1.2.840.113549.1.1.10", "signature", "rsa-pss", _2019),
    # RFC 3370 3.2: we write rsaEncryption, which everybody reads; others fix the digest here.
    _rsa("md5", 4, weak=True),
    _rsa("sha1", 5, weak=True),
    _rsa("sha224", 14),
    _rsa("sha256", 11),
    _rsa("sha384", 12),
    _rsa("sha512", 13),
    Algorithm("ecdsa", "1.2.840.10045.2.1", "signature", "ecdsa", _NEVER),
    _ecdsa("sha1", "1", _NEVER, weak=True),
    _ecdsa("sha224", "3.1", _NEVER),
    _ecdsa("sha256", "3.2", _2010),
    _ecdsa("sha384", "3.3", _2010),
    _ecdsa("sha512", "3.4", _2010),
    Algorithm("ed25519", "1.3.101.112", "signature", "ed25519", _2019),
    Algorithm("ed448", "1.3.101.113", "signature", "ed448", _NEVER),
    Algorithm("ml-dsa-44", "2.16.840.1.101.3.4.3.17", "signature", "ml-dsa-44", _2025),
    Algorithm("ml-dsa-65", "2.16.840.1.101.3.4.3.18", "signature", "ml-dsa-65", _2025),
    Algorithm("ml-dsa-87", "2.16.840.1.101.3.4.3.19", "signature", "ml-dsa-87", _2025),
    Algorithm("dsa", "1.2.840.10040.4.1", "signature", "dsa", _NEVER, _ENDED, weak=True),
    Algorithm(
        "dsa-sha1",
        "1.2.840.10040.4.3",
        "signature",
        "dsa",
        _NEVER,
        _ENDED,
        weak=True,
        digest="sha1",
    ),
    # How a content-encryption key reaches its recipient.
    Algorithm("rsa-oaep", "1.2.840.113549.1.1.7", "transport", "rsa-oaep", _2019),
    _ecdh("std", "sha1", "1.3.133.16.840.63.0.2", _NEVER, weak=True),
    _ecdh("std", "sha224", "1.3.132.1.11.0", _NEVER),
    _ecdh("std", "sha256", "1.3.132.1.11.1", _2010),
    _ecdh("std", "sha384", "1.3.132.1.11.2", _2010),
    _ecdh("std", "sha512", "1.3.132.1.11.3", _2010),
    _ecdh("cofactor", "sha1", "1.3.133.16.840.63.0.3", _NEVER, weak=True),
    _ecdh("cofactor", "sha224", "1.3.132.1.14.0", _NEVER),
    _ecdh("cofactor", "sha256", "1.3.132.1.14.1", _NEVER),
    _ecdh("cofactor", "sha384", "1.3.132.1.14.2", _NEVER),
    _ecdh("cofactor", "sha512", "1.3.132.1.14.3", _NEVER),
    # RFC 8418; HKDF instead of the KDF of X9.63
    _ecdh("hkdf", "sha256", "1.2.840.113549.1.9.16.3.19", _2019),
    _ecdh("hkdf", "sha384", "1.2.840.113549.1.9.16.3.20", _NEVER),
    _ecdh("hkdf", "sha512", "1.2.840.113549.1.9.16.3.21", _2019),
    _ecka("sha1", 1, weak=True),
    _ecka("sha224", 2),
    _ecka("sha256", 3),
    _ecka("sha384", 4),
    _ecka("sha512", 5),
    # RFC 9629 and RFC 9936; no ML-KEM-512 in the library, which is only named here
    Algorithm("ml-kem-512", "2.16.840.1.101.3.4.4.1", "encapsulation", "ml-kem", _NEVER),
    Algorithm("ml-kem-768", "2.16.840.1.101.3.4.4.2", "encapsulation", "ml-kem", _2025),
    Algorithm("ml-kem-1024", "2.16.840.1.101.3.4.4.3", "encapsulation", "ml-kem", _2025),
    _hkdf("sha256", 28, _2025),
    _hkdf("sha384", 29, _NEVER),
    _hkdf("sha512", 30, _NEVER),
    # RFC 9709: the content's key derived once more, against a change of its cipher
    Algorithm(
        "cek-hkdf-sha256",
        "1.2.840.113549.1.9.16.3.31",
        "derivation",
        "cek-hkdf",
        _NEVER,
        digest="sha256",
    ),
    # Passwords (RFC 3211, RFC 8018)
    Algorithm("pbkdf2", "1.2.840.113549.1.5.12", "derivation", "pbkdf2", _NEVER),
    Algorithm("pwri-kek", "1.2.840.113549.1.9.16.3.9", "wrap", "pwri-kek", _NEVER),
    _hmac("sha1", 7),
    _hmac("sha224", 8),
    _hmac("sha256", 9),
    _hmac("sha384", 10),
    _hmac("sha512", 11),
    _wrap("aes", 16, 5, _2010),
    _wrap("aes", 24, 25, _2010),
    _wrap("aes", 32, 45, _2010),
    _wrap("aes-pad", 16, 8, _NEVER, pad="-pad"),
    _wrap("aes-pad", 24, 28, _NEVER, pad="-pad"),
    _wrap("aes-pad", 32, 48, _NEVER, pad="-pad"),
    Algorithm(
        "3des-wrap",
        "1.2.840.113549.1.9.16.3.6",
        "wrap",
        "3des",
        _NEVER,
        _TDES_ENDS,
        weak=True,
        size=24,
    ),
    # Content encryption.
    Algorithm("aes128-cbc", "2.16.840.1.101.3.4.1.2", "cipher", "cbc", _2010, size=16),
    Algorithm("aes192-cbc", "2.16.840.1.101.3.4.1.22", "cipher", "cbc", _2010, size=24),
    Algorithm("aes256-cbc", "2.16.840.1.101.3.4.1.42", "cipher", "cbc", _2010, size=32),
    Algorithm("aes128-gcm", "2.16.840.1.101.3.4.1.6", "cipher", "gcm", _2019, size=16),
    Algorithm("aes192-gcm", "2.16.840.1.101.3.4.1.26", "cipher", "gcm", _2019, size=24),
    Algorithm("aes256-gcm", "2.16.840.1.101.3.4.1.46", "cipher", "gcm", _2019, size=32),
    Algorithm("aes128-ccm", "2.16.840.1.101.3.4.1.7", "cipher", "ccm", _NEVER, size=16),
    Algorithm("aes192-ccm", "2.16.840.1.101.3.4.1.27", "cipher", "ccm", _NEVER, size=24),
    Algorithm("aes256-ccm", "2.16.840.1.101.3.4.1.47", "cipher", "ccm", _NEVER, size=32),
    Algorithm("rc2-cbc", "1.2.840.113549.3.2", "cipher", "cbc", _NEVER, _ENDED, weak=True, size=16),
    Algorithm(
        "3des-cbc",
        "1.2.840.113549.3.7",
        "cipher",
        "cbc",
        _NEVER,
        _TDES_ENDS,
        weak=True,
        size=24,
    ),
    Algorithm("zlib", "1.2.840.113549.1.9.16.3.8", "compression", "zlib", _NEVER),
)

BY_NAME = {one.name: one for one in TABLE}
BY_DOTTED = {one.oid: one for one in TABLE}
BY_OID = {one.contents: one for one in TABLE}

# What we tell correspondents we read, best first (RFC 8551 section 2.5.2).
CAPABILITIES = ("aes256-gcm", "aes128-gcm", "aes256-cbc", "aes128-cbc", "rsa-oaep")


def find(contents: bytes, kind: Kind) -> Algorithm | None:
    """The algorithm of this kind with this OID."""
    found = BY_OID.get(contents)
    return found if found is not None and found.kind == kind else None


def named(name: str, kind: Kind) -> Algorithm | None:
    """The algorithm of this kind with this name."""
    found = BY_NAME.get(name)
    return found if found is not None and found.kind == kind else None


def accepted(name: str, moment: date) -> bool:
    """Whether a reader should take this algorithm without a complaint at this date."""
    found = BY_NAME.get(name)
    return found is not None and (found.accept_until is None or moment <= found.accept_until)
