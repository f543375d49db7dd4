"""Every algorithm Gatepost knows, in one dated table (RFC 8551 and what updates it).

`status` says what is done with it and `since` from when on that holds; `source` says where
that stands written.  Code, policy and docs/reference/algorithms.md all read this table.
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
# make: written and read; read: read as good; weak: read, and reported as weak, a signature
# by it proves nothing; refused: known by name only, never read.
Status = Literal["make", "read", "weak", "refused"]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm."""

    name: str
    oid: str
    kind: Kind
    family: str  # "sha2", "rsa-pss", "cbc", "stddh" …
    status: Status
    since: date
    source: str
    size: int = 0  # octets: of the digest, or of the key
    digest: Digest | None = None  # when the OID fixes one

    @property
    def contents(self) -> bytes:
        """The content octets of the OID."""
        return der.oid_contents(self.oid)

    @property
    def create_from(self) -> date | None:
        """Since when we make it; None: never."""
        return self.since if self.status == "make" else None

    @property
    def weak(self) -> bool:
        """Whether people are told that it protects little."""
        return self.status == "weak"


_NIST_HASHES = "2.16.840.1.101.3.4.2"
_RSADSI = "1.2.840.113549."
_SMIME = "1.2.840.113549.1.9.16.3."

_2002 = date(2002, 8, 1)  # RFC 3370
_2004 = date(2004, 7, 1)  # RFC 3851
_2007 = date(2007, 11, 1)  # RFC 5083, RFC 5084
_2010 = date(2010, 1, 1)  # RFC 5751, RFC 5753, RFC 5754
_2017 = date(2017, 8, 1)  # RFC 8103 and its like
_2018 = date(2018, 8, 1)  # RFC 8418, RFC 8419
_2019 = date(2019, 4, 1)  # RFC 8551
_2023 = date(2023, 12, 31)  # NIST SP 800-131A revision 2: 3DES ends
_2025 = date(2025, 1, 1)  # RFC 9709
_PQ = date(2025, 10, 1)  # RFC 9882, RFC 9935, RFC 9936
_BROKEN = "RFC 8551 appendix B"  # "historic": what only old mail needs


def _rsa(digest: Digest, arc: int, status: Status = "read") -> Algorithm:
    name, oid = f"rsa-pkcs1-{digest}", f"1.2.840.113549.1.1.{arc}"
    since, source = (_2019, _BROKEN) if status == "weak" else (_2010, "RFC 5754 3.2")
    return Algorithm(name, oid, "signature", "rsa-pkcs1", status, since, source, digest=digest)


def _ecdsa(digest: Digest, arc: str, status: Status) -> Algorithm:
    name, oid = f"ecdsa-{digest}", f"1.2.840.10045.4.{arc}"
    since, source = (_2019, _BROKEN) if status == "weak" else (_2010, "RFC 5754 3.3")
    return Algorithm(name, oid, "signature", "ecdsa", status, since, source, digest=digest)


def _pure(name: str, oid: str, status: Status, since: date, source: str) -> Algorithm:
    return Algorithm(name, oid, "signature", name, status, since, source)


def _ecdh(family: str, digest: Digest, oid: str, status: Status) -> Algorithm:
    since, source = (_2018, "RFC 8418 2") if family == "hkdf" else (_2010, "RFC 5753 7.1.4")
    since, source = (_2019, _BROKEN) if status == "weak" else (since, source)
    name = f"ecdh-{family}-{digest}"
    return Algorithm(name, oid, "agreement", family, status, since, source, digest=digest)


def _ecka(digest: Digest, arc: int, status: Status = "read") -> Algorithm:
    """BSI TR-03111 ECKA-EG with the X9.63 KDF: what "std" does, under other names."""
    name, oid = f"ecka-eg-{digest}", f"0.4.0.127.0.7.1.1.5.1.1.{arc}"
    source = "BSI TR-03111 4.3"
    return Algorithm(name, oid, "agreement", "std", status, _2010, source, digest=digest)


def _kem(size: int, arc: int, status: Status) -> Algorithm:
    name, oid = f"ml-kem-{size}", f"2.16.840.1.101.3.4.4.{arc}"
    return Algorithm(name, oid, "encapsulation", "ml-kem", status, _PQ, "RFC 9936 2")


def _hkdf(digest: Digest, arc: int, status: Status) -> Algorithm:
    name, oid = f"hkdf-{digest}", f"1.2.840.113549.1.9.16.3.{arc}"
    return Algorithm(name, oid, "derivation", "hkdf", status, _PQ, "RFC 8619", digest=digest)


def _hmac(digest: Digest, arc: int) -> Algorithm:
    name, oid = f"hmac-{digest}", f"1.2.840.113549.2.{arc}"
    return Algorithm(name, oid, "mac", "hmac", "read", _2017, "RFC 8018 B.1", digest=digest)


def _wrap(family: str, size: int, arc: int, status: Status) -> Algorithm:
    name = f"aes{size * 8}-wrap" + ("-pad" if family == "aes-pad" else "")
    source = "RFC 5649" if family == "aes-pad" else "RFC 3565 2.3"
    oid = f"2.16.840.1.101.3.4.1.{arc}"
    return Algorithm(name, oid, "wrap", family, status, _2010, source, size)


def _aes(mode: str, size: int, arc: int, status: Status) -> Algorithm:
    since, source = {
        "cbc": (_2004, "RFC 8551 2.7"),
        "gcm": (_2019, "RFC 8551 2.7, RFC 5084"),
        "ccm": (_2007, "RFC 5084"),
    }[mode]
    name, oid = f"aes{size * 8}-{mode}", f"2.16.840.1.101.3.4.1.{arc}"
    return Algorithm(name, oid, "cipher", mode, status, since, source, size)


def _sha2(digest: Digest, arc: int, size: int, status: Status = "make") -> Algorithm:
    oid = f"{_NIST_HASHES}.{arc}"
    return Algorithm(digest, oid, "digest", "sha2", status, _2010, "RFC 5754 2", size)


def _refused(name: str, oid: str, kind: Kind, source: str = _BROKEN) -> Algorithm:
    return Algorithm(name, oid, kind, name, "refused", _2019, source)


TABLE: tuple[Algorithm, ...] = (
    _sha2("sha256", 1, 32),
    _sha2("sha384", 2, 48),
    _sha2("sha512", 3, 64),
    _sha2("sha224", 4, 28, "read"),
    Algorithm(
        "shake256", f"{_NIST_HASHES}.12", "digest", "sha3", "read", _2018, "RFC 8419 2.3", 64
    ),
    # RFC 8419 2.3: the length stands in the parameters, and is 512 bits
    Algorithm(
        "shake256-512",
        f"{_NIST_HASHES}.18",
        "digest",
        "sha3",
        "read",
        _2018,
        "RFC 8419 2.3",
        64,
        digest="shake256",
    ),
    Algorithm("sha1", "1.3.14.3.2.26", "digest", "sha1", "weak", _2019, _BROKEN, 20),
    Algorithm("md5", _RSADSI + "2.5", "digest", "md5", "weak", _2010, "RFC 6151", 16),
    _refused("md2", _RSADSI + "2.2", "digest", "RFC 6149"),
    _refused("md4", _RSADSI + "2.4", "digest", "RFC 6150"),
    Algorithm("mgf1", _RSADSI + "1.1.8", "mask", "mgf1", "make", _2010, "RFC 4055 2.2"),
    # Signatures.  Without a digest of its own the OID leaves it to digestAlgorithm.
    # This OID also names RSAES-PKCS1-v1_5, by which a key is wrapped (RFC 3370 section 4.2.1).
    Algorithm(
        "rsa-pkcs1",
        _RSADSI + "1.1.1",
        "signature",
        "rsa-pkcs1",
        "make",
        _2002,
        "RFC 3370 3.2; key transport: RFC 3370 4.2.1",
    ),
    Algorithm("rsa-pss", _RSADSI + "1.1.10", "signature", "rsa-pss", "make", _2019, "RFC 4056"),
    # RFC 3370 3.2: we write rsaEncryption, which everybody reads; others fix the digest here.
    _rsa("sha256", 11),
    _rsa("sha384", 12),
    _rsa("sha512", 13),
    _rsa("sha224", 14),
    _rsa("sha1", 5, "weak"),
    _rsa("md5", 4, "weak"),
    _ecdsa("sha256", "3.2", "make"),
    _ecdsa("sha384", "3.3", "make"),
    _ecdsa("sha512", "3.4", "make"),
    _ecdsa("sha224", "3.1", "read"),
    _ecdsa("sha1", "1", "weak"),
    Algorithm(
        "ecdsa", "1.2.840.10045.2.1", "signature", "ecdsa", "read", _2010, "seen in the field"
    ),
    _pure("ed25519", "1.3.101.112", "make", _2019, "RFC 8419"),
    _pure("ed448", "1.3.101.113", "read", _2018, "RFC 8419"),
    _pure("ml-dsa-44", "2.16.840.1.101.3.4.3.17", "make", _PQ, "RFC 9882"),
    _pure("ml-dsa-65", "2.16.840.1.101.3.4.3.18", "make", _PQ, "RFC 9882"),
    _pure("ml-dsa-87", "2.16.840.1.101.3.4.3.19", "make", _PQ, "RFC 9882"),
    Algorithm("dsa", "1.2.840.10040.4.1", "signature", "dsa", "weak", _2019, _BROKEN),
    Algorithm(
        "dsa-sha1",
        "1.2.840.10040.4.3",
        "signature",
        "dsa",
        "weak",
        _2019,
        _BROKEN,
        digest="sha1",
    ),
    # How a content-encryption key reaches its recipient.
    Algorithm(
        "rsa-oaep",
        _RSADSI + "1.1.7",
        "transport",
        "rsa-oaep",
        "make",
        _2019,
        "RFC 3560, RFC 8551 2.3",
    ),
    _ecdh("std", "sha256", "1.3.132.1.11.1", "make"),
    _ecdh("std", "sha384", "1.3.132.1.11.2", "make"),
    _ecdh("std", "sha512", "1.3.132.1.11.3", "make"),
    _ecdh("std", "sha224", "1.3.132.1.11.0", "read"),
    _ecdh("std", "sha1", "1.3.133.16.840.63.0.2", "weak"),
    _ecdh("cofactor", "sha224", "1.3.132.1.14.0", "read"),
    _ecdh("cofactor", "sha256", "1.3.132.1.14.1", "read"),
    _ecdh("cofactor", "sha384", "1.3.132.1.14.2", "read"),
    _ecdh("cofactor", "sha512", "1.3.132.1.14.3", "read"),
    _ecdh("cofactor", "sha1", "1.3.133.16.840.63.0.3", "weak"),
    # X25519 and X448: HKDF instead of the KDF of X9.63
    _ecdh("hkdf", "sha256", _SMIME + "19", "make"),
    _ecdh("hkdf", "sha384", _SMIME + "20", "read"),
    _ecdh("hkdf", "sha512", _SMIME + "21", "make"),
    _ecka("sha224", 2),
    _ecka("sha256", 3),
    _ecka("sha384", 4),
    _ecka("sha512", 5),
    _ecka("sha1", 1, "weak"),
    # RFC 9629; no ML-KEM-512 in the library
    _kem(768, 2, "make"),
    _kem(1024, 3, "make"),
    _kem(512, 1, "refused"),
    _hkdf("sha256", 28, "make"),
    _hkdf("sha384", 29, "read"),
    _hkdf("sha512", 30, "read"),
    Algorithm("kdf3", "1.3.133.16.840.9.44.1.2", "derivation", "kdf3", "read", _PQ, "RFC 9690"),
    # the content's key derived once more, against a change of its cipher
    Algorithm(
        "cek-hkdf-sha256",
        _SMIME + "31",
        "derivation",
        "cek-hkdf",
        "read",
        _2025,
        "RFC 9709",
        digest="sha256",
    ),
    # Passwords
    Algorithm("pbkdf2", _RSADSI + "1.5.12", "derivation", "pbkdf2", "read", _2017, "RFC 8018"),
    Algorithm("pwri-kek", _SMIME + "9", "wrap", "pwri-kek", "read", _2002, "RFC 3211"),
    _hmac("sha1", 7),
    _hmac("sha224", 8),
    _hmac("sha256", 9),
    _hmac("sha384", 10),
    _hmac("sha512", 11),
    _wrap("aes", 16, 5, "make"),
    _wrap("aes", 24, 25, "make"),
    _wrap("aes", 32, 45, "make"),
    _wrap("aes-pad", 16, 8, "read"),
    _wrap("aes-pad", 24, 28, "read"),
    _wrap("aes-pad", 32, 48, "read"),
    Algorithm("3des-wrap", _SMIME + "6", "wrap", "3des", "weak", _2023, "NIST SP 800-131A r2", 24),
    # Content encryption.
    _aes("gcm", 32, 46, "make"),
    _aes("gcm", 24, 26, "make"),
    _aes("gcm", 16, 6, "make"),
    _aes("cbc", 32, 42, "make"),
    _aes("cbc", 24, 22, "make"),
    _aes("cbc", 16, 2, "make"),
    _aes("ccm", 32, 47, "read"),
    _aes("ccm", 24, 27, "read"),
    _aes("ccm", 16, 7, "read"),
    Algorithm(
        "3des-cbc", _RSADSI + "3.7", "cipher", "cbc", "weak", _2023, "NIST SP 800-131A r2", 24
    ),
    # with keys of 128 bits only; shorter ones are refused
    Algorithm("rc2-cbc", _RSADSI + "3.2", "cipher", "cbc", "weak", _2010, _BROKEN, 16),
    _refused("des-cbc", "1.3.14.3.2.7", "cipher"),
    _refused("rc4", _RSADSI + "3.4", "cipher"),
    Algorithm("zlib", _SMIME + "8", "compression", "zlib", "read", _2004, "RFC 3274"),
)

BY_NAME = {one.name: one for one in TABLE}
BY_DOTTED = {one.oid: one for one in TABLE}
BY_OID = {one.contents: one for one in TABLE}

# What we tell correspondents we read, by category, best first (RFC 8551 section 2.5.2).  Of
# the ways to wrap a key those are told that the key in our certificate can do.
CAPABILITIES = (
    *("aes256-gcm", "aes128-gcm", "aes256-cbc", "aes128-cbc"),
    *("ml-kem-1024", "ml-kem-768", "ecdh-hkdf-sha512", "ecdh-hkdf-sha256"),
    *("ecdh-std-sha512", "ecdh-std-sha384", "ecdh-std-sha256", "rsa-oaep"),
    *("rsa-pss", "ed25519"),
)


def find(contents: bytes, kind: Kind) -> Algorithm | None:
    """The algorithm of this kind with this OID, if we read it."""
    return _read(BY_OID.get(contents), kind)


def named(name: str, kind: Kind) -> Algorithm | None:
    """The algorithm of this kind with this name, if we read it."""
    return _read(BY_NAME.get(name), kind)


def _read(found: Algorithm | None, kind: Kind) -> Algorithm | None:
    return found if found is not None and found.kind == kind and found.status != "refused" else None
