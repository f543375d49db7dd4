"""What a company announces of its S/MIME at a well-known place: docs/reference/federation.md.

A JSON document in a JSON Web Signature (RFC 7515, general serialisation), so that nobody has
to read ASN.1 before the signature holds.  Only ES256 is known: a document names no algorithm
that could be a weaker one.  Reading is strict and bounded; members nobody knows are skipped.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from gatepost.certificate import Certificate
from gatepost.errors import LimitExceeded, Malformed
from gatepost.mail.address import domain_key

VERSION: Final = 1
KIND: Final = "gatepost-federation+json"
MAXIMUM_SIZE: Final = 64 * 1024
MAXIMUM_SIGNATURES: Final = 4
MAXIMUM_AUTHORITIES: Final = 8
MAXIMUM_INTERMEDIATES: Final = 16
MAXIMUM_CERTIFICATES: Final = 4
MAXIMUM_ALGORITHMS: Final = 64
MAXIMUM_NUMBER: Final = 2**53 - 1  # what every JSON reader keeps exactly (RFC 8259 section 6)
WISHES: Final = ("none", "wished", "required")

_HALF: Final = 32  # octets of a P-256 coordinate
_Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Announcement:
    """The signed words of one domain."""

    domain: str
    sequence: int
    issued: datetime
    expires: datetime
    key: str  # thumbprint of the key that signs for the domain from now on
    authorities: tuple[Certificate, ...] = ()
    intermediates: tuple[Certificate, ...] = ()
    certificates: tuple[Certificate, ...] = ()  # of the whole domain, to encrypt with
    algorithms: tuple[str, ...] = ()
    encryption: str = "wished"  # how the domain wants to be written to

    @property
    def content(self) -> tuple[object, ...]:
        """Everything but number and dates: whether there is something new to say."""
        return (
            self.domain,
            self.key,
            self.authorities,
            self.intermediates,
            self.certificates,
            self.algorithms,
            self.encryption,
        )


@dataclass(frozen=True, slots=True)
class Document:
    """An announcement as it came, and whose signatures on it hold."""

    announcement: Announcement
    signers: frozenset[str]  # thumbprints
    digest: str  # SHA-256 of the signed payload, hex
    text: str


def write(
    announcement: Announcement, signers: Sequence[tuple[ec.EllipticCurvePublicKey, _Sign]]
) -> str:
    """The signed document; each signer gives a DER signature by ECDSA with SHA-256."""
    payload = _encoded(json.dumps(_data(announcement), separators=(",", ":")).encode())
    signatures = []
    for key, sign in signers:
        header = {"alg": "ES256", "typ": KIND, "jwk": _jwk(key)}
        protected = _encoded(json.dumps(header, separators=(",", ":")).encode())
        first, second = decode_dss_signature(sign(f"{protected}.{payload}".encode()))
        raw = first.to_bytes(_HALF, "big") + second.to_bytes(_HALF, "big")
        signatures.append({"protected": protected, "signature": _encoded(raw)})
    return json.dumps({"payload": payload, "signatures": signatures}, indent=1) + "\n"


@lru_cache(maxsize=512)
def read(text: str) -> Document:
    """Read a document and check its signatures; raises Malformed, LimitExceeded."""
    if len(text) > MAXIMUM_SIZE:
        raise LimitExceeded(f"the document is larger than {MAXIMUM_SIZE} octets")
    outer = _object(text, "document")
    payload = _text(outer, "payload")
    signatures = _list(outer, "signatures", MAXIMUM_SIGNATURES)
    signers = frozenset(_signer(one, payload) for one in signatures)
    octets = _decoded(payload)
    said = _announcement(_object(octets.decode("utf-8", "replace"), "payload"))
    if said.key not in signers:
        raise Malformed("the document is not signed by the key it names")
    return Document(said, signers, hashlib.sha256(octets).hexdigest(), text)


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """A key's name (RFC 7638)."""
    text = json.dumps(_jwk(key), separators=(",", ":"), sort_keys=True)
    return _encoded(hashlib.sha256(text.encode()).digest())


def _data(one: Announcement) -> dict[str, Any]:
    return {
        "version": VERSION,
        "domain": one.domain,
        "sequence": one.sequence,
        "issued": _written(one.issued),
        "expires": _written(one.expires),
        "key": one.key,
        "authorities": [_der(each) for each in one.authorities],
        "intermediates": [_der(each) for each in one.intermediates],
        "certificates": [_der(each) for each in one.certificates],
        "algorithms": list(one.algorithms),
        "encryption": one.encryption,
    }


def _announcement(data: dict[str, Any]) -> Announcement:
    version = data.get("version")
    if version != VERSION or isinstance(version, bool):
        raise Malformed(f"the document is of version {str(version)[:20]}, not {VERSION}")
    sequence = data.get("sequence")
    if type(sequence) is not int or not 0 < sequence <= MAXIMUM_NUMBER:
        raise Malformed("the document's sequence is not a positive number")
    wish = _text(data, "encryption")
    if wish not in WISHES:
        raise Malformed(f"encryption is {wish[:20]!r}, none of {', '.join(WISHES)}")
    return Announcement(
        domain=domain_key(_text(data, "domain")[:255]),
        sequence=sequence,
        issued=_moment(data, "issued"),
        expires=_moment(data, "expires"),
        key=_text(data, "key"),
        authorities=_authorities(data, "authorities", MAXIMUM_AUTHORITIES),
        intermediates=_authorities(data, "intermediates", MAXIMUM_INTERMEDIATES),
        certificates=_certificates(data, "certificates", MAXIMUM_CERTIFICATES),
        algorithms=tuple(
            str(one)[:64] for one in _list(data, "algorithms", MAXIMUM_ALGORITHMS, least=0)
        ),
        encryption=wish,
    )


def _authorities(data: dict[str, Any], name: str, limit: int) -> tuple[Certificate, ...]:
    found = _certificates(data, name, limit)
    for one in found:
        if not one.is_authority:
            raise Malformed(f"{one.name[:80]!r} in {name} is not a certification authority")
    return found


def _certificates(data: dict[str, Any], name: str, limit: int) -> tuple[Certificate, ...]:
    try:
        return tuple(
            Certificate.from_der(base64.b64decode(one, validate=True))
            for one in _list(data, name, limit, least=0)
        )
    except (TypeError, ValueError) as error:  # not text, not ASCII, or not base64
        raise Malformed(f"{name} holds something that is not base64") from error


def _signer(entry: object, payload: str) -> str:
    """The thumbprint of the key whose signature holds; raises Malformed when it does not."""
    if not isinstance(entry, dict):
        raise Malformed("a signature is not an object")
    protected = _text(entry, "protected")
    header = _object(_decoded(protected).decode("utf-8", "replace"), "signature header")
    if header.get("alg") != "ES256":
        raise Malformed(f"a signature is by {str(header.get('alg'))[:20]!r}, not ES256")
    if "crit" in header:  # RFC 7515 section 4.1.11: what must be understood is not
        raise Malformed("a signature demands something that this version does not know")
    key = _key(header.get("jwk"))
    raw = _decoded(_text(entry, "signature"))
    if len(raw) != 2 * _HALF:
        raise Malformed("a signature has the wrong length")
    first, second = (int.from_bytes(one, "big") for one in (raw[:_HALF], raw[_HALF:]))
    try:
        key.verify(
            encode_dss_signature(first, second),
            f"{protected}.{payload}".encode(),
            ec.ECDSA(hashes.SHA256()),
        )
    except InvalidSignature:
        raise Malformed("a signature does not hold: the document was changed") from None
    return thumbprint(key)


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """RFC 7518 section 6.2.1."""
    numbers = key.public_numbers()
    x, y = (_encoded(one.to_bytes(_HALF, "big")) for one in (numbers.x, numbers.y))
    return {"crv": "P-256", "kty": "EC", "x": x, "y": y}


def _key(jwk: object) -> ec.EllipticCurvePublicKey:
    if not isinstance(jwk, dict) or jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":
        raise Malformed("a signature's key is not on P-256")
    x, y = (_decoded(_text(jwk, name)) for name in ("x", "y"))
    if len(x) != _HALF or len(y) != _HALF:
        raise Malformed("a signature's key has coordinates of the wrong length")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + x + y)
    except ValueError:
        raise Malformed("a signature's key is no point of P-256") from None


def _object(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the {what} is not JSON") from error
    if not isinstance(found, dict):
        raise Malformed(f"the {what} is not a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Readers differ over doubled members (RFC 8259 section 4): nobody may profit from that."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a member stands twice")
    return made


def _text(data: dict[str, Any], name: str) -> str:
    found = data.get(name)
    if not isinstance(found, str) or not found.isascii():
        raise Malformed(f"the document's {name} is missing or not text")
    return found


def _list(data: dict[str, Any], name: str, limit: int, least: int = 1) -> list[Any]:
    found = data.get(name)
    if not isinstance(found, list) or len(found) < least:
        raise Malformed(f"the document's {name} are missing")
    if len(found) > limit:
        raise LimitExceeded(f"the document has more than {limit} {name}")
    return found


def _moment(data: dict[str, Any], name: str) -> datetime:
    try:
        return datetime.strptime(_text(data, name), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Malformed(
            f"the document's {name} is not a time such as 2026-01-31T12:00:00Z"
        ) from None


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _der(one: Certificate) -> str:
    return base64.b64encode(one.der).decode("ascii")


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    """Base64url without padding (RFC 7515 section 2), nothing else in it."""
    try:
        octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error) as error:
        raise Malformed("the document holds something that is not base64url") from error
    if _encoded(octets) != text:
        raise Malformed("the document holds something that is not base64url")
    return octets
