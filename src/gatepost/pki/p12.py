"""A key, its certificate and its issuers in one file: PKCS #12 (RFC 7292).

Written with PBES2, PBKDF2-HMAC-SHA256 and AES-256 (RFC 9579 leaves that untouched); read
also in the old forms (RC2, 3DES, SHA-1) that Windows and the CAs' web sites still make.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)

from gatepost.certificate import Certificate, quietly
from gatepost.errors import Malformed, Unsupported
from gatepost.pki import rounds
from gatepost.pki.pem import WrongPassword, check_key, limit

ROUNDS = 600_000
_UNREADABLE = (
    *(x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType),
    InternalError,
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """What such a file is for."""

    key: PrivateKeyTypes = field(repr=False)
    certificate: Certificate
    issuers: tuple[Certificate, ...] = ()


def read(data: bytes, password: str) -> Bundle:
    """Open a file; raises WrongPassword, Malformed, LimitExceeded, Unsupported."""
    limit(data)
    data = _without_armor(data)
    if not _HEAD.match(data):
        raise Malformed("not a PKCS #12 file")
    rounds.check(data)
    loaded = _load(data, password)
    if loaded.key is None:
        raise Malformed("the PKCS #12 file holds no private key")
    key = check_key(loaded.key)
    found = [one.certificate for one in (loaded.cert, *loaded.additional_certs) if one]
    certificates = [Certificate.from_x509(one) for one in found]
    own = [one for one in certificates if _belongs(one, key)]
    if not own:
        raise Malformed("the PKCS #12 file holds no certificate for its private key")
    best = max(own, key=lambda one: one.not_after)
    return Bundle(key, best, tuple(one for one in certificates if one != best))


def write(bundle: Bundle, password: str, name: str = "") -> bytes:
    """Make a file for another mail program; an empty password is refused."""
    if not password:
        raise WrongPassword("a PKCS #12 file needs a password")
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(SHA256())
        .build(password.encode())
    )
    return pkcs12.serialize_key_and_certificates(
        (name or bundle.certificate.name).encode(),
        _serializable(bundle.key),
        bundle.certificate.x509,
        [one.x509 for one in bundle.issuers],
        protection,
    )


def _serializable(key: PrivateKeyTypes) -> pkcs12.PKCS12PrivateKeyTypes:
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        return key
    raise Unsupported(f"PKCS #12 with a {_kind(key)} is not supported: keep the key as PEM")


def _kind(key: PrivateKeyTypes) -> str:
    return type(key).__name__.lstrip("_")


def _load(data: bytes, password: str) -> pkcs12.PKCS12KeyAndCertificates:
    try:
        with quietly():
            return pkcs12.load_pkcs12(data, password.encode())
    except TypeError as error:  # the library holds no X25519 or ML-KEM key in one
        raise Unsupported("a PKCS #12 file with a key of this kind: give it as PEM") from error
    except UnsupportedAlgorithm as error:
        raise Unsupported(f"the PKCS #12 file uses something unknown: {error}") from error
    except _UNREADABLE as error:
        raise Malformed("the PKCS #12 file holds what nobody can read") from error
    except ValueError as error:
        if not password:
            return _load_bare(data)
        raise WrongPassword("the password does not open this file, or it is damaged") from error


def _load_bare(data: bytes) -> pkcs12.PKCS12KeyAndCertificates:
    """No password and an empty password differ in this format."""
    try:
        with quietly():
            return pkcs12.load_pkcs12(data, None)
    except TypeError as error:
        raise Unsupported("a PKCS #12 file with a key of this kind: give it as PEM") from error
    except _UNREADABLE as error:
        raise Malformed("the PKCS #12 file holds what nobody can read") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WrongPassword("this file needs a password") from error


def _without_armor(data: bytes) -> bytes:
    """GnuPG wraps these files like PEM when asked for ASCII."""
    _, begin, rest = data.partition(b"-----BEGIN PKCS12-----")
    if not begin:
        return data
    try:
        return base64.b64decode(rest.partition(b"-----END")[0])
    except ValueError as error:
        raise Malformed("not a PKCS #12 file") from error


def _belongs(certificate: Certificate, key: PrivateKeyTypes) -> bool:
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    public = certificate.public_key
    return public is not None and public.public_bytes(*form) == key.public_key().public_bytes(*form)


# PFX ::= SEQUENCE { version INTEGER (3), …  in DER or with an indefinite length
_HEAD = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83.{3}|\x84.{4})\x02\x01\x03", re.DOTALL)
