"""Messages of the Certificate Management Protocol (RFC 9810 section 5, RFC 9483 section 3).

Written: a request in PKCS #10 (p10cr), a renewal (kur), a question whether it is decided
(pollReq), a receipt (certConf).  Read: their answers, believed by the password or by the
signature of somebody known (`cmp_protection`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatepost.certificate import Certificate
from gatepost.cms import der
from gatepost.enrol.cmp_protection import (
    Protection,
    Secret,
    is_mac,
    signature_algorithm,
    signing,
)
from gatepost.enrol.source import Sign
from gatepost.errors import LimitExceeded, Malformed
from gatepost.pki.der import inside, items
from gatepost.pki.signature import made_by

CP, P10CR, KUR, KUP, PKI_CONF, ERROR = 3, 4, 7, 8, 19, 23
CERT_CONF, POLL_REQ, POLL_REP = 24, 25, 26
MOST_CERTIFICATES: Final = 100
_SHA512: Final = "2.16.840.1.101.3.4.2.3"
_OLD_CERTIFICATE: Final = "1.3.6.1.5.5.7.5.1.5"  # id-regCtrl-oldCertID
_PROTECTION, _KEY_ID, _TRANSACTION, _NONCE, _ANSWERED = 0xA1, 0xA2, 0xA4, 0xA5, 0xA6
Entropy = Callable[[int], bytes]


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

    def is_from(self, secret: Secret | None, signers: Sequence[Certificate] = ()) -> bool:
        """Whether whoever wrote it knows the secret, or is one of these signers."""
        if not self.mac or not self.algorithm:
            return False
        try:
            how = signature_algorithm(self.algorithm)
            if how is not None:
                return any(
                    made_by(one.public_key, self.mac, self.protected, how) for one in signers
                )
            return secret is not None and is_mac(
                secret.over(self.protected, self.algorithm), self.mac
            )
        except (IndexError, ValueError, KeyError):
            return False  # an algorithm that is not known proves nothing


def write(
    kind: int,
    body: bytes,
    thread: Thread,
    protection: Protection,
    recipient: bytes,
    *,
    entropy: Entropy,
    now: datetime,
    version: int = 2,
) -> bytes:
    """A protected PKIMessage; the recipient is a Name in DER."""
    algorithm, key_id = protection.algorithm(entropy(16)), protection.key_id
    moment = now.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()
    header = der.sequence(
        der.integer(version),
        der.explicit(4, protection.sender),
        der.explicit(4, recipient),
        der.explicit(0, der.tlv(0x18, moment)),
        der.explicit(1, algorithm),
        der.explicit(2, der.octet_string(key_id)) if key_id else b"",
        der.explicit(4, der.octet_string(thread.transaction)),
        der.explicit(5, der.octet_string(thread.nonce)),
        der.explicit(6, der.octet_string(thread.answered)) if thread.answered else b"",
    )
    content = der.explicit(kind, body)
    proof = protection.over(der.sequence(header, content), algorithm)
    shown = der.sequence(*(one.der for one in protection.certificates))
    return der.sequence(
        header,
        content,
        der.explicit(0, der.bit_string(proof)),
        der.explicit(1, shown) if protection.certificates else b"",
    )


def renewal(request: bytes, old: Certificate, sign: Sign) -> bytes:
    """The body of a kur (section 5.3.5): CertReqMessages of RFC 4211 for the key of a PKCS #10.

    Under the old certificate's name; `sign` proves possession of the new key (section 4.1 there).
    """
    asked = x509.load_der_x509_csr(request)
    key = asked.public_key()
    info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    template = der.sequence(
        der.explicit(5, old.subject),
        der.explicit(6, _inner(info)),
        der.explicit(9, *map(_extension, asked.extensions)),
    )
    which = der.sequence(der.explicit(4, old.issuer), der.integer(old.serial))
    controls = der.sequence(der.sequence(der.oid(_OLD_CERTIFICATE), which))
    wanted = der.sequence(der.integer(0), template, controls)
    scheme, algorithm = signing(key)
    possession = der.explicit(1, algorithm, der.bit_string(sign(wanted, scheme)))
    return der.sequence(der.sequence(wanted, possession))


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


def _extension(one: x509.Extension[x509.ExtensionType]) -> bytes:
    critical = der.tlv(0x01, b"\xff") if one.critical else b""
    value = der.octet_string(one.value.public_bytes())
    return der.sequence(der.oid(one.oid.dotted_string), critical, value)
