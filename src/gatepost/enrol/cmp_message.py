"""Messages of the Certificate Management Protocol (RFC 9810 section 5, RFC 9483 section 3).

Written: a request in PKCS #10 (p10cr), a question whether it is decided (pollReq), a receipt
(certConf).  Read: their answers.  All are protected by a password (section 5.1.3.1), answers
perhaps by the signature of somebody known (section 5.1.3.3).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from gatepost.certificate import Certificate
from gatepost.cms import der
from gatepost.errors import LimitExceeded, Malformed
from gatepost.pki.der import dotted, first, inside, items
from gatepost.pki.signature import Algorithm, made_by

CP, P10CR, PKI_CONF, ERROR, CERT_CONF, POLL_REQ, POLL_REP = 3, 4, 19, 23, 24, 25, 26
ROUNDS: Final = 10_000
MOST_ROUNDS: Final = 100_000  # some hundredths of a second
MOST_CERTIFICATES: Final = 100
_PBM: Final = "1.2.840.113533.7.66.13"
_SHA256, _HMAC_SHA256 = "2.16.840.1.101.3.4.2.1", "1.2.840.113549.2.9"
_SHA512: Final = "2.16.840.1.101.3.4.2.3"
_HASHES: Final = {
    "1.3.14.3.2.26": "sha1",
    _SHA256: "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    _SHA512: "sha512",
}
_MACS: Final = {
    "1.3.6.1.5.5.8.1.2": "sha1",
    "1.2.840.113549.2.7": "sha1",
    _HMAC_SHA256: "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}
_SIGNATURES: Final = {
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
    "1.2.840.10045.4.3.2": hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
    "1.3.101.112": None,  # Ed25519
}
_PROTECTION, _KEY_ID, _TRANSACTION, _NONCE, _ANSWERED = 0xA1, 0xA2, 0xA4, 0xA5, 0xA6
Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Secret:
    """What both sides know, and the name it has there."""

    reference: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Thread:
    """What makes a message part of a conversation, and fresh."""

    transaction: bytes
    nonce: bytes
    answered: bytes = b""  # the nonce of the message before


@dataclass(frozen=True, slots=True)
class Message:
    """An answer; believed only when `is_from` says so."""

    thread: Thread
    kind: int
    body: bytes  # the element in it
    certificates: tuple[bytes, ...]  # in DER; not protected
    protected: bytes = field(repr=False)
    algorithm: bytes = field(repr=False)
    mac: bytes = field(repr=False)

    @property
    def is_protected(self) -> bool:
        """Whether it claims to be."""
        return bool(self.mac)

    def is_from(self, secret: Secret, signers: Sequence[Certificate] = ()) -> bool:
        """Whether whoever wrote it knows the secret, or is one of these signers."""
        if not self.mac or not self.algorithm:
            return False
        try:
            name = dotted(first(self.algorithm))
            if name in _SIGNATURES:
                how = Algorithm(name, _SIGNATURES[name])
                return any(
                    made_by(one.public_key, self.mac, self.protected, how) for one in signers
                )
            expected = _mac(self.algorithm, secret.password.encode(), self.protected)
        except (IndexError, ValueError, KeyError):
            return False  # an algorithm that is not known proves nothing
        return hmac.compare_digest(expected, self.mac)


def write(
    kind: int,
    body: bytes,
    thread: Thread,
    secret: Secret,
    recipient: x509.Name,
    *,
    entropy: Entropy,
    now: datetime,
    version: int = 2,
) -> bytes:
    """A protected PKIMessage."""
    algorithm = _protection(entropy(16))
    sender = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, secret.reference)])
    moment = now.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()
    header = der.sequence(
        der.integer(version),
        der.explicit(4, sender.public_bytes()),
        der.explicit(4, recipient.public_bytes()),
        der.explicit(0, der.tlv(0x18, moment)),
        der.explicit(1, algorithm),
        der.explicit(2, der.octet_string(secret.reference.encode())),
        der.explicit(4, der.octet_string(thread.transaction)),
        der.explicit(5, der.octet_string(thread.nonce)),
        der.explicit(6, der.octet_string(thread.answered)) if thread.answered else b"",
    )
    content = der.explicit(kind, body)
    mac = _mac(algorithm, secret.password.encode(), der.sequence(header, content))
    return der.sequence(header, content, der.explicit(0, der.bit_string(mac)))


def confirmation(certificate: Certificate, number: int, refusal: str = "") -> tuple[int, bytes]:
    """The version of a certConf and its body (section 5.3.18): taken, or refused and why."""
    digest, algorithm = _seen_by(certificate)
    status = der.sequence(der.integer(0))
    if refusal:
        status = der.sequence(der.integer(2), der.sequence(der.tlv(0x0C, refusal.encode())))
    seen = hashes.Hash(digest)
    seen.update(certificate.der)
    one = der.sequence(der.octet_string(seen.finalize()), der.integer(number), status, algorithm)
    return 3 if algorithm else 2, der.sequence(one)


def question(number: int) -> bytes:
    """The body of a pollReq (section 5.3.22)."""
    return der.sequence(der.sequence(der.integer(number)))


def read(octets: bytes) -> Message:
    """A PKIMessage, not yet believed; raises Malformed."""
    try:
        header, body, *others = items(octets)
        fields = {one[0]: one for one in list(items(header))[3:]}
        trailing = {one[0]: one for one in others}
        mac = _bits(trailing[0xA0]) if 0xA0 in trailing else b""
        if octets[0] != 0x30 or body[0] & 0xE0 != 0xA0 or body[0] & 0x1F == 0x1F:
            raise Malformed("not a message of CMP")
        extra = tuple(items(_inner(trailing[0xA1]))) if 0xA1 in trailing else ()
        if len(extra) > MOST_CERTIFICATES:
            raise LimitExceeded(f"more than {MOST_CERTIFICATES} certificates in one message")
        return Message(
            Thread(*(_octets(fields.get(one)) for one in (_TRANSACTION, _NONCE, _ANSWERED))),
            body[0] & 0x1F,
            _inner(body),
            extra,
            der.sequence(header, body),
            _inner(fields[_PROTECTION]) if _PROTECTION in fields else b"",
            mac,
        )
    except (IndexError, ValueError) as error:
        raise Malformed("not a message of CMP") from error


def _inner(element: bytes) -> bytes:
    return element[inside(element, 0) :]


def _bits(field_: bytes) -> bytes:
    """The octets of a BIT STRING."""
    (element,) = items(field_)
    found = _inner(element)
    if element[0] != 0x03 or found[0] != 0:
        raise ValueError("the protection is no string of octets")
    return found[1:]


def _octets(field_: bytes | None) -> bytes:
    return b"" if field_ is None else _inner(_inner(field_))


def _seen_by(certificate: Certificate) -> tuple[hashes.HashAlgorithm, bytes]:
    """The hash of its signature, or RFC 9481 section 2: SHA-512, which is named then."""
    try:
        digest = certificate.x509.signature_hash_algorithm
    except UnsupportedAlgorithm:
        digest = None
    if digest is not None:
        return digest, b""
    return hashes.SHA512(), der.explicit(0, der.sequence(der.oid(_SHA512)))


def _protection(salt: bytes) -> bytes:
    parameter = der.sequence(
        der.octet_string(salt),
        der.sequence(der.oid(_SHA256)),
        der.integer(ROUNDS),
        der.sequence(der.oid(_HMAC_SHA256), der.NULL),
    )
    return der.sequence(der.oid(_PBM), parameter)


def _mac(algorithm: bytes, password: bytes, octets: bytes) -> bytes:
    """RFC 4211 section 4.4; raises IndexError, ValueError or KeyError for what is not that."""
    name, parameter = items(algorithm)
    if dotted(name) != _PBM:
        raise ValueError("another protection")
    salt, owf, count, mac = items(parameter)
    rounds = int.from_bytes(_inner(count)[:8], "big", signed=True)
    if not 1 <= rounds <= MOST_ROUNDS:
        raise ValueError("too many rounds")
    digest = _HASHES[dotted(first(owf))]
    key = hashlib.new(digest, password + _inner(salt)).digest()
    for _ in range(rounds - 1):
        key = hashlib.new(digest, key).digest()
    return hmac.digest(key, octets, _MACS[dotted(first(mac))])
