"""Key agreement: ephemeral-static ECDH, its KDF and key wrap (RFC 5753, 3394, 3217)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import constant_time, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from gatepost.cms import der
from gatepost.cms.digest import HASHES
from gatepost.cms.identifier import Agreement
from gatepost.errors import DecryptionFailed, Unsupported

_CURVES = frozenset(("secp256r1", "secp384r1", "secp521r1"))  # those we write for
_TDES_IV = bytes.fromhex("4adda22c79e82105")  # RFC 3217 section 3.1


def ephemeral(
    curve: ec.EllipticCurve, entropy: Callable[[int], bytes]
) -> ec.EllipticCurvePrivateKey:
    """A fresh key pair; 64 extra bits make the modulo unbiased (FIPS 186-5 appendix A.2.1)."""
    if curve.name not in _CURVES:
        raise Unsupported(f"encrypting to a key on the curve {curve.name} is not supported")
    order = curve.group_order
    drawn = int.from_bytes(entropy((order.bit_length() + 7) // 8 + 8), "big")
    return ec.derive_private_key(drawn % (order - 1) + 1, curve)


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as an uncompressed point."""
    form = serialization.PublicFormat.UncompressedPoint
    return key.public_bytes(serialization.Encoding.X962, form)


def uncompressed(encoded: bytes, curve: ec.EllipticCurve) -> bytes:
    """A peer's point, checked to be on our curve; raises DecryptionFailed."""
    try:
        return point(ec.EllipticCurvePublicKey.from_encoded_point(curve, encoded))
    except ValueError as error:
        raise DecryptionFailed from error


def key_encryption_key(shared: bytes, how: Agreement, user_keying_material: bytes | None) -> bytes:
    """Derive the KEK: X9.63 over ECC-CMS-SharedInfo (RFC 5753 section 7.2)."""
    entity = b""
    if user_keying_material is not None:
        entity = der.explicit(0, der.octet_string(user_keying_material))
    bits = der.octet_string((how.wrap.size * 8).to_bytes(4, "big"))
    info = der.sequence(how.wrap_identifier, entity, der.explicit(2, bits))
    return X963KDF(HASHES[how.digest], how.wrap.size, info).derive(shared)


def wrap(key_encryption_key: bytes, key: bytes) -> bytes:
    """AES key wrap."""
    return keywrap.aes_key_wrap(key_encryption_key, key)


def unwrap(key_encryption_key: bytes, wrapped: bytes, how: Agreement) -> bytes:
    """Undo AES or 3DES key wrap; raises DecryptionFailed."""
    try:
        if how.wrap.family == "3des":
            return _unwrap_3des(key_encryption_key, wrapped)
        return keywrap.aes_key_unwrap(key_encryption_key, wrapped)
    except (keywrap.InvalidUnwrap, ValueError) as error:
        raise DecryptionFailed from error


def _unwrap_3des(key_encryption_key: bytes, wrapped: bytes) -> bytes:
    """RFC 3217 section 3.2."""
    if len(wrapped) != 40:
        raise DecryptionFailed
    outer = _decrypt_3des(key_encryption_key, _TDES_IV, wrapped)[::-1]
    inner = _decrypt_3des(key_encryption_key, outer[:8], outer[8:])
    key, check = inner[:24], inner[24:]
    expected = hashlib.sha1(key, usedforsecurity=False).digest()[:8]
    if not constant_time.bytes_eq(check, expected):
        raise DecryptionFailed
    return key


def _decrypt_3des(key: bytes, iv: bytes, data: bytes) -> bytes:
    context = Cipher(TripleDES(key), modes.CBC(iv)).decryptor()
    return context.update(data) + context.finalize()
