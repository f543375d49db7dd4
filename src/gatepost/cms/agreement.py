"""Key agreement: ephemeral-static ECDH, X25519 and X448, and their KDFs (RFC 5753, RFC 8418).

Agreement with a static key of the sender, whom nothing then proves, is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from gatepost.certificate import Certificate
from gatepost.cms import ber, der, designation, identifier, keywrap
from gatepost.cms.algorithms import BY_NAME
from gatepost.cms.digest import HASHES, strength
from gatepost.cms.identifier import Agreement
from gatepost.errors import DecryptionFailed, Unsupported

PublicKey = ec.EllipticCurvePublicKey | x25519.X25519PublicKey | x448.X448PublicKey
Entropy = Callable[[int], bytes]

_CURVES = frozenset(
    (
        *("secp256r1", "secp384r1", "secp521r1"),
        *("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"),
    )
)
_EC_PUBLIC_KEY = der.sequence(der.oid("1.2.840.10045.2.1"))
_X25519 = der.sequence(der.oid("1.3.101.110"))
_GNUPG = 0x40  # gpgsm writes an X25519 key as OpenPGP does, with this octet before it
_X448 = der.sequence(der.oid("1.3.101.111"))


@dataclass(frozen=True, slots=True)
class Exchange:
    """The sender's half: a fresh public key and the secret shared with one recipient."""

    originator: bytes  # the contents of an OriginatorPublicKey
    scheme: str  # its name in the table of algorithms
    secret: bytes = field(repr=False)


# Writing


def compose(certificate: Certificate, public: PublicKey, key: bytes, entropy: Entropy) -> bytes:
    """A KeyAgreeRecipientInfo with a key pair of its own; raises Unsupported."""
    made = _exchange(public, entropy)
    wrap, wrap_identifier = keywrap.suited(key)
    scheme = BY_NAME[made.scheme]
    assert scheme.digest is not None  # every key agreement of the table has one
    how = Agreement(scheme.digest, wrap, wrap_identifier, scheme.family)
    wrapped = keywrap.wrap(key_encryption_key(made.secret, how, None), key)
    name = designation.issuer_and_serial(certificate)
    return der.explicit(
        1,
        der.integer(3),
        der.explicit(0, der.explicit(1, made.originator)),
        der.sequence(der.oid(scheme.oid), wrap_identifier),
        der.sequence(der.sequence(name, der.octet_string(wrapped))),
    )


def _exchange(public: PublicKey, entropy: Entropy) -> Exchange:
    if isinstance(public, x25519.X25519PublicKey):  # RFC 8551 2.3: "using HKDF-256 for the KDF"
        mine = x25519.X25519PrivateKey.from_private_bytes(entropy(32))
        said = _X25519 + der.bit_string(mine.public_key().public_bytes_raw())
        return Exchange(said, "ecdh-hkdf-sha256", mine.exchange(public))
    if isinstance(public, x448.X448PublicKey):
        own = x448.X448PrivateKey.from_private_bytes(entropy(56))
        said = _X448 + der.bit_string(own.public_key().public_bytes_raw())
        return Exchange(said, "ecdh-hkdf-sha512", own.exchange(public))
    fresh = _ephemeral(public.curve, entropy)
    said = _EC_PUBLIC_KEY + der.bit_string(_point(fresh.public_key()))
    scheme = f"ecdh-std-{strength(public.curve)}"  # RFC 5753 section 7.1.4
    return Exchange(said, scheme, fresh.exchange(ec.ECDH(), public))


def _ephemeral(curve: ec.EllipticCurve, entropy: Entropy) -> ec.EllipticCurvePrivateKey:
    """A fresh key pair; 64 extra bits make the modulo unbiased (FIPS 186-5 appendix A.2.1)."""
    if curve.name not in _CURVES:
        raise Unsupported(f"encrypting to a key on the curve {curve.name} is not supported")
    order = curve.group_order
    drawn = int.from_bytes(entropy((order.bit_length() + 7) // 8 + 8), "big")
    return ec.derive_private_key(drawn % (order - 1) + 1, curve)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    form = serialization.PublicFormat.UncompressedPoint
    return key.public_bytes(serialization.Encoding.X962, form)


def key_encryption_key(shared: bytes, how: Agreement, user_keying_material: bytes | None) -> bytes:
    """Derive the KEK with ECC-CMS-SharedInfo (RFC 5753 section 7.2, RFC 8418 section 2)."""
    info = _shared_info(how, user_keying_material)
    if how.family == "hkdf":  # RFC 8418 2.2: the ukm is the salt, and in the info as well
        return HKDF(HASHES[how.digest], how.wrap.size, user_keying_material, info).derive(shared)
    return X963KDF(HASHES[how.digest], how.wrap.size, info).derive(shared)


@lru_cache(maxsize=64)
def _shared_info(how: Agreement, user_keying_material: bytes | None) -> bytes:
    entity = b""
    if user_keying_material is not None:
        entity = der.explicit(0, der.octet_string(user_keying_material))
    bits = der.octet_string((how.wrap.size * 8).to_bytes(4, "big"))
    return der.sequence(how.wrap_identifier, entity, der.explicit(2, bits))


# Reading


def originator(element: ber.Element) -> bytes | None:
    """The sender's public key: originator [0] EXPLICIT, originatorKey [1] IMPLICIT."""
    inside = element.expect(0xA0).children()
    if len(inside) != 1 or inside[0].tag != 0xA1:
        return None
    fields = inside[0].children()
    bits = fields[1].value(der.BIT_STRING) if len(fields) == 2 else b""
    if len(bits) < 2 or bits[0] != 0:
        element.fail("an originator without a public key")
    return bits[1:]


def peer(sent: bytes, public: object) -> bytes:
    """The sender's key as `Decryptor.agree` takes it, checked; raises DecryptionFailed."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        try:
            return _point(ec.EllipticCurvePublicKey.from_encoded_point(public.curve, sent))
        except ValueError as error:
            raise DecryptionFailed from error
    if not isinstance(public, x25519.X25519PublicKey | x448.X448PublicKey):
        raise DecryptionFailed
    size = len(public.public_bytes_raw())
    if len(sent) == size + 1 and sent[0] == _GNUPG:
        return sent[1:]
    if len(sent) != size:
        raise DecryptionFailed
    return sent


def opened(
    secret: bytes, algorithm: bytes, user_keying_material: bytes | None, wrapped: bytes
) -> bytes:
    """The content-encryption key, once the secret is agreed; raises DecryptionFailed."""
    how = identifier.agreement(algorithm)
    kek = key_encryption_key(secret, how, user_keying_material)
    return keywrap.unwrap(kek, wrapped, how.wrap)
