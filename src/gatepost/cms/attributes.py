"""Signed attributes, written and read (RFC 5652 section 11, RFC 5035, RFC 8551 section 2.5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, rsa, x448, x25519

from gatepost.certificate import Certificate
from gatepost.cms import algorithms, ber, content, der, designation, identifier, moment
from gatepost.cms.capability import Digest, KeyTransport, SignatureScheme
from gatepost.cms.digest import digest_of, strength
from gatepost.errors import LimitExceeded, Malformed, Unsupported

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"
CAPABILITIES = "1.2.840.113549.1.9.15"
KEY_PREFERENCE = "1.2.840.113549.1.9.16.2.11"
KEY_PREFERENCE_MICROSOFT = "1.3.6.1.4.1.311.16.4"
SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.12"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"

MAXIMUM_SIZE = 256 * 1024
MAXIMUM_COUNT = 100


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the signed attributes say; the first two are mandatory."""

    content_type: bytes
    message_digest: bytes
    signing_time: datetime | None
    capabilities: frozenset[str]
    certificate_digest: tuple[Digest, bytes] | None  # of the signing certificate
    key_preference: designation.CertificateId | None


# Writing


def compose(fixed: Sequence[bytes], message_digest: bytes, when: datetime) -> bytes:
    """The DER SET OF: what never changes for a signer, the digest and the time."""
    return der.set_of(
        *fixed,
        _attribute(SIGNING_TIME, moment.compose(when)),
        _attribute(MESSAGE_DIGEST, der.octet_string(message_digest)),
    )


def _attribute(oid: str, value: bytes) -> bytes:
    """As `attribute`, with one value of a size that comes again and again."""
    return _before(oid, len(value)) + value


@lru_cache(maxsize=64)
def _before(oid: str, size: int) -> bytes:
    return attribute(oid, bytes(size))[:-size]


@lru_cache(maxsize=1024)
def fixed(
    signer: Certificate, capabilities: tuple[str, ...], encryption: Certificate | None
) -> tuple[bytes, ...]:
    """The attributes of every message by this signer."""
    made = [
        attribute(CONTENT_TYPE, der.tlv(0x06, content.DATA)),
        attribute(SIGNING_CERTIFICATE_V2, _signing_certificate(signer)),
    ]
    if told := _suited(capabilities, encryption or signer):
        made.append(attribute(CAPABILITIES, der.sequence(*map(_capability, told))))
    if encryption is not None:
        # RFC 8551 2.5.3: issuerAndSerialNumber [0] IMPLICIT
        name = der.explicit(0, encryption.issuer, der.integer(encryption.serial))
        made.append(attribute(KEY_PREFERENCE, name))
    return tuple(made)


def attribute(oid: str, *values: bytes) -> bytes:
    """One Attribute."""
    return der.sequence(der.oid(oid), der.set_of(*values))


def _suited(capabilities: Iterable[str], reader: Certificate) -> tuple[str, ...]:
    """Those that apply to the certificate one is written to with: what wraps to its key."""
    wraps = _wraps(reader.public_key)
    return tuple(
        name
        for name in capabilities
        if name in wraps or algorithms.BY_NAME[name].kind not in _KEY_MANAGEMENT
    )


def _wraps(key: object) -> frozenset[str]:
    match key:
        case rsa.RSAPublicKey():
            return frozenset({"rsa-oaep"})
        case ec.EllipticCurvePublicKey():
            return frozenset({f"ecdh-std-{strength(key.curve)}"})
        case x25519.X25519PublicKey():
            return frozenset({"ecdh-hkdf-sha256"})
        case x448.X448PublicKey():
            return frozenset({"ecdh-hkdf-sha512"})
        case mlkem.MLKEM768PublicKey():
            return frozenset({"ml-kem-768"})
        case mlkem.MLKEM1024PublicKey():
            return frozenset({"ml-kem-1024"})
    return frozenset()


_KEY_MANAGEMENT = frozenset({"transport", "agreement", "encapsulation"})


def _capability(name: str) -> bytes:
    """One SMIMECapability, with the parameters we can read."""
    if name == "rsa-oaep":  # RFC 3560 section 5
        return identifier.transport_identifier(KeyTransport("rsa-oaep"))
    if name == "rsa-pss":  # RFC 4056 section 3
        return identifier.signature_identifier(SignatureScheme("rsa-pss"))
    known = algorithms.BY_NAME[name]
    if known.kind == "agreement":  # RFC 5753 section 8, RFC 8418 section 6: with the key wrap
        return der.sequence(der.oid(known.oid), _WRAP)
    return der.sequence(der.oid(known.oid))


_WRAP = der.sequence(der.oid(algorithms.BY_NAME["aes256-wrap"].oid))


def _signing_certificate(certificate: Certificate) -> bytes:
    """SigningCertificateV2 with the default SHA-256 (RFC 5035 section 3)."""
    directory_name = der.explicit(4, certificate.issuer)
    named = der.sequence(der.sequence(directory_name), der.integer(certificate.serial))
    digest = der.octet_string(digest_of("sha256", certificate.der))
    return der.sequence(der.sequence(der.sequence(digest, named)))


# Reading


def parse(signed: bytes) -> Attributes:
    """Read signedAttrs as sent; raises Malformed where RFC 5652 section 11 says MUST."""
    found = table(ber.parse(signed))
    kind = _one(found, CONTENT_TYPE, "content-type")
    digest = _one(found, MESSAGE_DIGEST, "message-digest")
    if kind is None:  # RFC 5652 5.3: "a content-type attribute" is the first of those required
        raise Malformed("the signed attributes lack the content-type attribute")
    if digest is None:
        raise Malformed("the signed attributes lack the message-digest attribute")
    when = _one(found, SIGNING_TIME, "signing-time")
    return Attributes(
        content_type=kind.oid(),
        message_digest=digest.octets(),
        signing_time=None if when is None else moment.parse(when),
        capabilities=_capabilities(found),
        certificate_digest=_certificate_digest(found),
        key_preference=_key_preference(found),
    )


def table(attributes: ber.Element) -> dict[bytes, list[ber.Element]]:
    """The values of each attribute type, of all its instances together."""
    if attributes.stop - attributes.start > MAXIMUM_SIZE:
        attributes.fail("attributes of unreasonable length")
    elements = attributes.children()
    if len(elements) > MAXIMUM_COUNT:
        attributes.fail("more attributes than anybody writes")
    found: dict[bytes, list[ber.Element]] = {}
    for element in elements:
        fields = element.sequence()
        if len(fields) != 2:
            element.fail("not an attribute")
        found.setdefault(fields[0].oid(), []).extend(fields[1].set_of())
    return found


def content_type(authenticated: ber.Element) -> bytes | None:
    """The content-type attribute of authenticated attributes, if there is one."""
    kind = _one(table(authenticated), CONTENT_TYPE, "content-type")
    return None if kind is None else kind.oid()


def misplaced(unsigned: bytes) -> bool:
    """Whether unsigned attributes hold one that must be signed (RFC 5652 sections 11.1-11.3).

    Their values are nobody's word: countersignatures, time stamps and long proofs stay unread.
    """
    elements = ber.parse(unsigned).children()
    if len(elements) > MAXIMUM_COUNT:
        raise LimitExceeded("more unsigned attributes than anybody writes")
    for element in elements:
        fields = element.sequence()
        if len(fields) != 2:
            element.fail("not an attribute")
        if fields[0].oid() in _SIGNED_ONLY:
            return True
    return False


_SIGNED_ONLY = frozenset(map(der.oid_contents, (CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME)))


def _one(found: dict[bytes, list[ber.Element]], oid: str, name: str) -> ber.Element | None:
    """RFC 5652 11.1-11.3: one instance with one value, "even though the syntax is … a SET OF"."""
    values = found.get(der.oid_contents(oid))
    if values is None:
        return None
    if len(values) != 1:
        raise Malformed(f"the {name} attribute must have exactly one value")
    return values[0]


def _capabilities(found: dict[bytes, list[ber.Element]]) -> frozenset[str]:
    values = found.get(der.oid_contents(CAPABILITIES), ())
    return frozenset().union(
        *(_capability_names(one.raw) for one in values if one.stop - one.start <= 4096)
    )


@lru_cache(maxsize=256)
def _capability_names(encoded: bytes) -> frozenset[str]:
    """What an SMIMECapabilities lists; a hint only, so what cannot be read is passed over."""
    names: set[str] = set()
    try:
        for capability in ber.parse(encoded).sequence():
            known = algorithms.BY_OID.get(capability.sequence()[0].oid())
            if known is not None:
                names.add(known.name)
    except (Malformed, IndexError):
        pass
    return frozenset(names)


def _key_preference(
    found: dict[bytes, list[ber.Element]],
) -> designation.CertificateId | None:
    """SMIMEEncryptionKeyPreference, and what Outlook writes beside it; a hint only."""
    try:
        for value in found.get(der.oid_contents(KEY_PREFERENCE), ()):
            if value.tag == 0xA0:
                return designation.parse_issuer_and_serial(value.children())
            if value.tag == 0xA1:
                return designation.CertificateId(None, None, value.children()[0].octets())
            if value.tag in (0x82, 0xA2):
                return designation.CertificateId(None, None, value.octets())
        for value in found.get(der.oid_contents(KEY_PREFERENCE_MICROSOFT), ()):
            return designation.parse_issuer_and_serial(value.sequence())
    except (Malformed, IndexError):
        return None
    return None


def _certificate_digest(
    found: dict[bytes, list[ber.Element]],
) -> tuple[Digest, bytes] | None:
    """The digest of the signing certificate: the first ESSCertID (RFC 5035 section 5.4)."""
    for oid in (SIGNING_CERTIFICATE_V2, SIGNING_CERTIFICATE):
        value = _one(found, oid, "signing-certificate")
        if value is None:
            continue
        certificates = value.sequence()
        entries = certificates[0].sequence() if certificates else []
        fields = entries[0].sequence() if entries else []
        if not fields:
            value.fail("a signing-certificate attribute naming no certificate")
        digest: Digest = "sha256" if oid == SIGNING_CERTIFICATE_V2 else "sha1"
        if fields[0].tag == der.SEQUENCE:
            try:
                digest = identifier.digest_name(identifier.raw(fields.pop(0)))
            except Unsupported:
                return None
        if not fields:
            value.fail("a signing-certificate attribute without a digest")
        return digest, fields[0].octets()
    return None
