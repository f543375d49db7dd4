"""RecipientInfos: how a content-encryption key reaches each recipient (RFC 5652 section 6.2).

Written: RSA key transport and ephemeral-static ECDH, recipients named by issuer and
serial number.  Read: both, also named by subject key identifier; other kinds are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from gatepost.certificate import Certificate
from gatepost.cms import agreement, algorithms, ber, der, designation, identifier
from gatepost.cms.capability import Decryptor, KeyTransport
from gatepost.cms.designation import CertificateId
from gatepost.cms.digest import HASHES, strength
from gatepost.errors import DecryptionFailed, LimitExceeded, Unsupported

Entropy = Callable[[int], bytes]

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


RecipientInfo = Transported | Agreed


# Writing


def compose(
    certificate: Certificate, key: bytes, transport: KeyTransport, entropy: Entropy
) -> bytes:
    """A RecipientInfo for this certificate; raises Unsupported if its key cannot take one."""
    public = certificate.public_key
    if isinstance(public, rsa.RSAPublicKey):
        try:
            encrypted = public.encrypt(key, _padding(transport))
        except ValueError as error:
            raise Unsupported(f"the key of {certificate.name} is too small: {error}") from error
        return der.sequence(_transport_fields(certificate, transport), der.octet_string(encrypted))
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _agreed(certificate, public, key, entropy)
    raise Unsupported(f"the key of {certificate.name} cannot be encrypted to")


def is_version_0(certificate: Certificate) -> bool:
    """Whether its RecipientInfo is a version 0 one, which decides the envelope's version."""
    return isinstance(certificate.public_key, rsa.RSAPublicKey)


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


_EC_PUBLIC_KEY = der.sequence(der.oid("1.2.840.10045.2.1"))


def _agreed(
    certificate: Certificate, public: ec.EllipticCurvePublicKey, key: bytes, entropy: Entropy
) -> bytes:
    own = agreement.ephemeral(public.curve, entropy)
    digest = strength(public.curve)  # RFC 5753 section 7.1.4
    wrap = algorithms.BY_NAME[f"aes{len(key) * 8}-wrap"]  # RFC 5753 section 8: as strong as the key
    how = identifier.Agreement(digest, wrap, der.sequence(der.oid(wrap.oid)))
    secret = own.exchange(ec.ECDH(), public)
    wrapped = agreement.wrap(agreement.key_encryption_key(secret, how, None), key)
    originator = der.explicit(1, _EC_PUBLIC_KEY, der.bit_string(agreement.point(own.public_key())))
    scheme = der.oid(algorithms.BY_NAME[f"ecdh-std-{digest}"].oid)
    name = designation.issuer_and_serial(certificate)
    return der.explicit(
        1,
        der.integer(3),
        der.explicit(0, originator),
        der.sequence(scheme, how.wrap_identifier),
        der.sequence(der.sequence(name, der.octet_string(wrapped))),
    )


# Reading


def parse(infos: ber.Element) -> tuple[RecipientInfo, ...]:
    """Every recipient that can be named by a certificate; raises Malformed."""
    found: list[RecipientInfo] = []
    for info in infos.set_of():
        if info.tag == der.SEQUENCE:
            found.append(_transported(info))
        elif info.tag == 0xA1:
            found.extend(_agreed_among(info))
        elif info.tag not in (0xA2, 0xA3, 0xA4):  # kekri, pwri, ori
            info.fail("an unknown kind of RecipientInfo")
        if len(found) > MAXIMUM_COUNT:
            raise LimitExceeded(f"more than {MAXIMUM_COUNT} recipients")
    return tuple(found)


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
    algorithm, point = identifier.raw(fields[2]), _originator(fields[1])
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
    return element.expect(der.OCTET_STRING).octets()


# Opening


def open_key(info: RecipientInfo, decryptor: Decryptor, size: int, entropy: Entropy) -> bytes:
    """The content-encryption key; raises DecryptionFailed, Unsupported or Malformed.

    PKCS #1 v1.5 never fails here: what is no key of the right size becomes a random one,
    so that nobody learns from us which it was (RFC 3218; Bleichenbacher).
    """
    if isinstance(info, Agreed):
        key = _agree(info, decryptor)
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
        key = decryptor.unwrap(info.encrypted_key, KeyTransport("rsa-pkcs1"))
    except DecryptionFailed:
        return instead
    return key if len(key) == size else instead


def _agree(info: Agreed, decryptor: Decryptor) -> bytes:
    how = identifier.agreement(info.algorithm)
    if info.point is None:
        raise Unsupported("key agreement with a static key of the sender is not supported")
    public = decryptor.certificate.public_key
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise DecryptionFailed
    point = agreement.uncompressed(info.point, public.curve)
    secret = decryptor.agree(point)
    kek = agreement.key_encryption_key(secret, how, info.user_keying_material)
    return agreement.unwrap(kek, info.encrypted_key, how)


def _originator(element: ber.Element) -> bytes | None:
    """The originator's public key: originator [0] EXPLICIT, originatorKey [1] IMPLICIT."""
    inside = element.expect(0xA0).children()
    if len(inside) != 1 or inside[0].tag != 0xA1:
        return None
    fields = inside[0].children()
    bits = fields[1].value(der.BIT_STRING) if len(fields) == 2 else b""
    if len(bits) < 2 or bits[0] != 0:
        element.fail("an originator without a public key")
    return bits[1:]


def pairs(
    infos: Sequence[RecipientInfo], decryptors: Sequence[Decryptor]
) -> Iterator[tuple[RecipientInfo, Decryptor]]:
    """Each of our keys with each RecipientInfo that names its certificate."""
    for decryptor in decryptors:
        for info in infos:
            if info.certificate_id.names(decryptor.certificate):
                yield info, decryptor
