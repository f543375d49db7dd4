"""Certificates and private keys as files: PEM (RFC 7468), DER, and PKCS #7 certificate bags."""

from __future__ import annotations

import base64
import re

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
    pkcs7,
)

from gatepost.certificate import Certificate, quietly
from gatepost.errors import GatepostError, LimitExceeded, Malformed, Unsupported
from gatepost.pki import rounds
from gatepost.pki.crl import UNREADABLE

MAXIMUM_FILE = 10 * 1024 * 1024
MAXIMUM_CERTIFICATES = 1000

_BEGIN = b"-----BEGIN "
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_BAG = b"-----BEGIN PKCS7-----"
_SEALED = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
_BEGINNING = re.compile(rb"-----BEGIN (?:[A-Z0-9]{1,20} )?PRIVATE KEY-----")
_END = b"-----END "

_USEFUL = (
    rsa.RSAPrivateKey,
    ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PrivateKey,
    x25519.X25519PrivateKey,
    x448.X448PrivateKey,
    mldsa.MLDSA44PrivateKey,
    mldsa.MLDSA65PrivateKey,
    mldsa.MLDSA87PrivateKey,
    mlkem.MLKEM768PrivateKey,
    mlkem.MLKEM1024PrivateKey,
)


class WrongPassword(GatepostError):
    """The password does not open this file."""


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Every certificate in a file of any usual form; raises Malformed when there is none."""
    limit(data)
    if _CERTIFICATE in data:
        if data.count(_CERTIFICATE) > MAXIMUM_CERTIFICATES:
            raise LimitExceeded(f"the file holds more than {MAXIMUM_CERTIFICATES} certificates")
        return Certificate.from_pem(data)
    if _BAG in data or _is_bag(data):
        return _bag(data)
    if _BEGIN in data:
        raise Malformed("the file is PEM but holds no certificate")
    return (Certificate.from_der(data.strip(b"\r\n") if data[:1] != b"\x30" else data),)


def read_key(data: bytes, password: str | None = None) -> PrivateKeyTypes:
    """The private key in a PEM or DER file, checked; raises WrongPassword, Malformed, Unsupported.

    LimitExceeded where its password is to be derived into a key for hours.
    """
    limit(data)
    secret = password.encode() if password else None
    if _BEGIN in data:
        data = _block(data)
    sealed = data.startswith(_SEALED)
    if sealed:
        data = _bare(data)
    try:
        with quietly():
            key = _load(data, secret)
    except TypeError as error:  # a password is missing, or there is one where none belongs
        if secret is None:
            raise WrongPassword("the private key is encrypted: its password is needed") from error
        return read_key(data)
    except UnsupportedAlgorithm as error:
        raise Unsupported(f"the private key cannot be used: {error}") from error
    except (ValueError, InternalError) as error:  # the latter for X448 in 32 octets, say
        if secret is not None and (sealed or b"ENCRYPTED" in data):
            raise WrongPassword from error
        raise Malformed("the file holds no private key that can be read") from error
    return check_key(key)


def write_key(key: PrivateKeyTypes, password: str | None) -> bytes:
    """PKCS #8 in PEM, encrypted when a password is given."""
    protection = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def check_key(key: PrivateKeyTypes) -> PrivateKeyTypes:
    """Raise Unsupported for a key that can neither sign nor decrypt mail here."""
    if isinstance(key, _USEFUL):
        return key
    raise Unsupported(f"a key of kind {type(key).__name__.lstrip('_')} is of no use for mail")


def limit(data: bytes) -> None:
    """Raise LimitExceeded for a file no key or certificate fills."""
    if len(data) > MAXIMUM_FILE:
        raise LimitExceeded(f"a file of {len(data)} octets is over the limit of {MAXIMUM_FILE}")


def _block(data: bytes) -> bytes:
    """The first private key in PEM, alone: what else stands there is not looked at."""
    found = _BEGINNING.search(data)
    stop = data.find(_END, found.end()) if found else -1
    if found is None or stop < 0:
        raise Malformed("the file holds no private key")
    line = data.find(b"\n", stop)
    return data[found.start() : line + 1 if line >= 0 else len(data)]


def _bare(block: bytes) -> bytes:
    """The DER in a block, read strictly: what is checked is what is loaded."""
    text = block.removeprefix(_SEALED).partition(_END)[0]
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except ValueError as error:
        raise Malformed("the file holds no private key that can be read") from error


def _load(data: bytes, secret: bytes | None) -> PrivateKeyTypes:
    if data.startswith(_BEGIN):
        return load_pem_private_key(data, secret)
    rounds.check(data)
    return load_der_private_key(data, secret)


def _is_bag(data: bytes) -> bool:
    """DER ContentInfo with the OID of signed-data (RFC 5652 section 5.1) near its start."""
    return b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" in data[:24]


def _bag(data: bytes) -> tuple[Certificate, ...]:
    load = pkcs7.load_pem_pkcs7_certificates if _BAG in data else pkcs7.load_der_pkcs7_certificates
    try:
        with quietly():
            found = load(data)
    except UNREADABLE as error:
        raise Malformed(f"not a bag of certificates: {error}") from error
    if not found:
        raise Malformed("a bag without a certificate")
    if len(found) > MAXIMUM_CERTIFICATES:
        raise LimitExceeded(f"the file holds more than {MAXIMUM_CERTIFICATES} certificates")
    return tuple(Certificate.from_x509(one) for one in found)
