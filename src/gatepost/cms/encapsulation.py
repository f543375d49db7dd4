"""Key encapsulation: KEMRecipientInfo with ML-KEM (RFC 9629, RFC 9936)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gatepost.certificate import Certificate
from gatepost.cms import algorithms, ber, der, designation, identifier, keywrap
from gatepost.cms.algorithms import BY_NAME
from gatepost.cms.capability import Decapsulator, Decryptor, Digest
from gatepost.cms.designation import CertificateId
from gatepost.cms.digest import HASHES
from gatepost.errors import DecryptionFailed, Malformed, Unsupported

PublicKey = mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey

KEM = der.oid_contents("1.2.840.113549.1.9.16.13.3")  # id-ori-kem
MAXIMUM_CIPHERTEXT = 4096  # ML-KEM-1024 has 1568
MAXIMUM_MATERIAL = 4096

_HKDF = der.sequence(der.oid(BY_NAME["hkdf-sha256"].oid))  # RFC 9936 2.1: the mandatory one


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """A KEMRecipientInfo."""

    certificate_id: CertificateId
    kem: bytes
    ciphertext: bytes = field(repr=False)
    derivation: bytes
    size: int  # kekLength
    user_keying_material: bytes | None
    wrap: bytes
    encrypted_key: bytes = field(repr=False)


def compose(certificate: Certificate, public: PublicKey, key: bytes) -> bytes:
    """An OtherRecipientInfo for this certificate.

    RFC 9936 section 2.1 asks for AES-256 key wrap for both, whatever the content's cipher.
    """
    secret, ciphertext = public.encapsulate()
    name = "ml-kem-768" if isinstance(public, mlkem.MLKEM768PublicKey) else "ml-kem-1024"
    wrap = der.sequence(der.oid(BY_NAME["aes256-wrap"].oid))
    kek = _key_encryption_key(secret, _HKDF, 32, None, wrap)
    return der.explicit(
        4,
        der.tlv(0x06, KEM),
        der.sequence(
            der.integer(0),
            designation.issuer_and_serial(certificate),
            der.sequence(der.oid(BY_NAME[name].oid)),
            der.octet_string(ciphertext),
            _HKDF,
            der.integer(32),
            wrap,
            der.octet_string(keywrap.wrap(kek, key)),
        ),
    )


def parse(info: ber.Element) -> Encapsulated | None:
    """Read an OtherRecipientInfo; None if it is something else.  Raises Malformed."""
    kind, *values = info.children() or info.fail("an empty OtherRecipientInfo")
    if kind.tag != 0x06 or kind.oid() != KEM:
        return None
    fields = values[0].sequence() if len(values) == 1 else []
    material = None
    if len(fields) == 9:
        inside = fields.pop(6).expect(0xA0).children()
        material = _short(inside[0], MAXIMUM_MATERIAL) if inside else b""
    if len(fields) != 8:
        info.fail("not a KEMRecipientInfo")
    return Encapsulated(
        certificate_id=designation.parse(fields[1]),
        kem=identifier.raw(fields[2]),
        ciphertext=_short(fields[3], MAXIMUM_CIPHERTEXT),
        derivation=identifier.raw(fields[4]),
        size=fields[5].integer(),
        user_keying_material=material,
        wrap=identifier.raw(fields[6]),
        encrypted_key=_short(fields[7], MAXIMUM_CIPHERTEXT),
    )


def _short(element: ber.Element, limit: int) -> bytes:
    if element.stop - element.start > limit + 16:
        element.fail("an octet string of unreasonable length")
    return element.octets()


def open_key(info: Encapsulated, decryptor: Decryptor) -> bytes:
    """The content-encryption key; raises DecryptionFailed, Unsupported or Malformed."""
    contents, _ = identifier.opened(ber.parse(info.kem))
    if algorithms.find(contents, "encapsulation") is None:
        raise Unsupported(f"the key encapsulation {ber.dotted(contents)} is not supported")
    how = identifier.wrap(info.wrap)
    if info.size != how.size:  # RFC 9629 section 3: the length the wrap needs
        raise Malformed(f"{how.name} with a key of {info.size} octets")
    if not isinstance(decryptor, Decapsulator):
        raise DecryptionFailed
    secret = decryptor.decapsulate(info.ciphertext)
    material = info.user_keying_material
    kek = _key_encryption_key(secret, info.derivation, info.size, material, info.wrap)
    return keywrap.unwrap(kek, info.encrypted_key, how)


def _key_encryption_key(
    secret: bytes, derivation: bytes, size: int, material: bytes | None, wrap: bytes
) -> bytes:
    """HKDF or KDF3 over CMSORIforKEMOtherInfo (RFC 9629 section 5, RFC 9936 2.2.1)."""
    kdf = identifier.derivation(derivation)
    wrap = ber.canonical(ber.parse(wrap))  # RFC 9629 section 5: the DER of what was sent
    entity = b"" if material is None else der.explicit(0, der.octet_string(material))
    info = der.sequence(wrap, der.integer(size), entity)
    if kdf.family == "hkdf" and kdf.digest is not None:  # without a salt
        return HKDF(HASHES[kdf.digest], size, None, info).derive(secret)
    if kdf.family == "kdf3":  # BouncyCastle's choice
        return ConcatKDFHash(HASHES[_digest(derivation)], size, info).derive(secret)
    raise Unsupported(f"the key derivation {kdf.name} is not supported here")


def _digest(derivation: bytes) -> Digest:
    """Which digest KDF3 takes; it stands in the parameters."""
    _, parameters = identifier.opened(ber.parse(derivation))
    if parameters is None:
        raise Malformed("KDF3 without a digest")
    return identifier.digest_name(identifier.raw(parameters))
