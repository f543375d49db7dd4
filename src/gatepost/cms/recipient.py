"""RecipientInfos: how a content-encryption key reaches each recipient (RFC 5652 section 6.2).

RSA key transport here, key agreement and encapsulation beside; recipients are written by
issuer and serial number, read by subject key identifier too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding, rsa, x448, x25519

from gatepost.certificate import Certificate
from gatepost.cms import agreement, ber, der, designation, encapsulation, identifier, secret
from gatepost.cms.capability import Decryptor, KeyTransport
from gatepost.cms.designation import CertificateId
from gatepost.cms.digest import HASHES
from gatepost.cms.encapsulation import Encapsulated
from gatepost.cms.signature import certified_for
from gatepost.errors import DecryptionFailed, LimitExceeded, Unsupported

Entropy = Callable[[int], bytes]

_PKCS1 = KeyTransport("rsa-pkcs1")

MAXIMUM_COUNT = 10_000
MAXIMUM_KEY = 4096  # octets of an encrypted key: RSA with 32768 bits


@dataclass(frozen=True, slots=True)
class Transported:
    """A KeyTransRecipientInfo."""

    certificate_id: CertificateId
    algorithm: bytes
    encrypted_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Agreed:
    """One recipient of a KeyAgreeRecipientInfo."""

    certificate_id: CertificateId
    algorithm: bytes
    point: bytes | None = field(repr=False)  # the sender's ephemeral key; None: a static one
    user_keying_material: bytes | None
    encrypted_key: bytes = field(repr=False)


RecipientInfo = Transported | Agreed | Encapsulated


# Writing


def compose(
    certificate: Certificate, key: bytes, transport: KeyTransport, entropy: Entropy
) -> bytes:
    """A RecipientInfo for this certificate; raises Unsupported if its key cannot take one."""
    public = certificate.public_key
    if isinstance(public, rsa.RSAPublicKey):
        return _transport(certificate, public, key, transport)
    if isinstance(public, ec.EllipticCurvePublicKey | x25519.X25519PublicKey | x448.X448PublicKey):
        return agreement.compose(certificate, public, key, entropy)
    if isinstance(public, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey):
        return encapsulation.compose(certificate, public, key)
    raise Unsupported(f"the key of {certificate.name} cannot be encrypted to")


def envelope_version(recipients: Sequence[Certificate]) -> int:
    """The version of EnvelopedData that its RecipientInfos call for (RFC 5652 section 6.1)."""
    keys = [one.public_key for one in recipients]
    if any(isinstance(key, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey) for key in keys):
        return 3
    return 0 if all(isinstance(key, rsa.RSAPublicKey) for key in keys) else 2


def _transport(
    certificate: Certificate, public: rsa.RSAPublicKey, key: bytes, transport: KeyTransport
) -> bytes:
    if certified_for(certificate) == "rsa-pss":
        raise Unsupported(f"the key of {certificate.name} is for RSASSA-PSS only")
    try:
        encrypted = public.encrypt(key, _padding(transport))
    except ValueError as error:
        raise Unsupported(f"the key of {certificate.name} is too small: {error}") from error
    return der.sequence(_transport_fields(certificate, transport), der.octet_string(encrypted))


@lru_cache(maxsize=4096)
def _transport_fields(certificate: Certificate, transport: KeyTransport) -> bytes:
    name = designation.issuer_and_serial(certificate)
    return der.integer(0) + name + identifier.transport_identifier(transport)


@lru_cache(maxsize=64)
def _padding(transport: KeyTransport) -> padding.AsymmetricPadding:
    if transport.family == "rsa-pkcs1":
        return padding.PKCS1v15()
    mask = padding.MGF1(HASHES[transport.mgf_digest])
    return padding.OAEP(mask, HASHES[transport.digest], transport.label or None)


# Reading


def parse(infos: ber.Element) -> tuple[tuple[RecipientInfo, ...], tuple[ber.Element, ...]]:
    """The recipients named by a certificate, and those who share a secret; raises Malformed."""
    found: list[RecipientInfo] = []
    others: list[ber.Element] = []
    for info in infos.set_of():
        if info.tag == der.SEQUENCE:
            found.append(_transported(info))
        elif info.tag == 0xA1:
            found.extend(_agreed_among(info))
        elif info.tag == 0xA4:
            encapsulated = encapsulation.parse(info)
            found += (encapsulated,) if encapsulated else ()
        elif info.tag in (secret.KEK, secret.PASSWORD):
            others.append(info)
        else:
            info.fail("an unknown kind of RecipientInfo")
        if len(found) > MAXIMUM_COUNT:
            raise LimitExceeded(f"more than {MAXIMUM_COUNT} recipients")
    return tuple(found), tuple(others)


def _transported(info: ber.Element) -> Transported:
    fields = info.children()
    if len(fields) != 4:
        info.fail("not a KeyTransRecipientInfo")
    name = designation.parse(fields[1])
    return Transported(name, identifier.raw(fields[2]), _encrypted_key(fields[3]))


def _agreed_among(info: ber.Element) -> Iterator[Agreed]:
    fields = info.children()
    material = None
    if len(fields) == 5:  # ukm [1] EXPLICIT UserKeyingMaterial OPTIONAL
        inside = fields.pop(2).expect(0xA1).children()
        material = inside[0].octets() if inside else b""
    if len(fields) != 4:
        info.fail("not a KeyAgreeRecipientInfo")
    algorithm, point = identifier.raw(fields[2]), agreement.originator(fields[1])
    for one in fields[3].sequence():
        pair = one.sequence()
        if len(pair) != 2:
            one.fail("not a RecipientEncryptedKey")
        name = _agreed_name(pair[0])
        yield Agreed(name, algorithm, point, material, _encrypted_key(pair[1]))


def _agreed_name(element: ber.Element) -> CertificateId:
    if element.tag != 0xA0:
        return designation.parse_issuer_and_serial(element.sequence())
    fields = element.children()  # rKeyId [0] IMPLICIT RecipientKeyIdentifier
    if not fields:
        element.fail("an empty RecipientKeyIdentifier")
    return CertificateId(None, None, fields[0].octets())


def _encrypted_key(element: ber.Element) -> bytes:
    if element.stop - element.start > MAXIMUM_KEY + 16:
        element.fail("an encrypted key of unreasonable length")
    return element.octet_string()


# Opening


def open_key(info: RecipientInfo, decryptor: Decryptor, size: int, entropy: Entropy) -> bytes:
    """The content-encryption key; raises DecryptionFailed, Unsupported or Malformed.

    PKCS #1 v1.5 never fails here: what is no key of the right size becomes a random one,
    so that nobody learns from us which it was (RFC 3218; Bleichenbacher).
    """
    if isinstance(info, Agreed):
        key = _agree(info, decryptor)
    elif isinstance(info, Encapsulated):
        key = encapsulation.open_key(info, decryptor)
    else:
        scheme = identifier.transport_scheme(info.algorithm)
        if scheme.family == "rsa-pkcs1":
            return _unwrap_silently(info, decryptor, size, entropy)
        key = decryptor.unwrap(info.encrypted_key, scheme)
    if len(key) != size:
        raise DecryptionFailed
    return key


def _unwrap_silently(info: Transported, decryptor: Decryptor, size: int, entropy: Entropy) -> bytes:
    instead = entropy(size)
    try:
        key = decryptor.unwrap(info.encrypted_key, _PKCS1)
    except DecryptionFailed:
        return instead
    return key if len(key) == size else instead


def is_silent(info: RecipientInfo | None) -> bool:
    """Whether a wrong key passes for a right one here: with PKCS #1 v1.5 it does, and must."""
    if not isinstance(info, Transported):
        return False
    return identifier.transport_scheme(info.algorithm).family == "rsa-pkcs1"


def _agree(info: Agreed, decryptor: Decryptor) -> bytes:
    identifier.agreement(info.algorithm)
    if info.point is None:
        raise Unsupported("key agreement with a static key of the sender is not supported")
    point = agreement.peer(info.point, decryptor.certificate.public_key)
    material = info.user_keying_material
    return agreement.opened(decryptor.agree(point), info.algorithm, material, info.encrypted_key)


def pairs(
    infos: Sequence[RecipientInfo], decryptors: Sequence[Decryptor]
) -> Iterator[tuple[RecipientInfo, Decryptor]]:
    """Each of our keys with each RecipientInfo that names its certificate."""
    for decryptor in decryptors:
        for info in infos:
            if info.certificate_id.names(decryptor.certificate):
                yield info, decryptor
