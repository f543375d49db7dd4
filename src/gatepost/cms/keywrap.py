"""Key wrap: AES (RFC 3394, 5649) made and read, 3DES (RFC 3217) and passwords' (RFC 3211) read."""

from __future__ import annotations

import hashlib

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import constant_time, keywrap
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from gatepost.cms import der
from gatepost.cms.algorithms import BY_NAME, Algorithm
from gatepost.errors import DecryptionFailed

_TDES_IV = bytes.fromhex("4adda22c79e82105")  # RFC 3217 section 3.1


def suited(key: bytes) -> tuple[Algorithm, bytes]:
    """The wrap as strong as a content-encryption key (RFC 5753 section 8), and its identifier."""
    found = BY_NAME[f"aes{len(key) * 8}-wrap"]
    return found, der.sequence(der.oid(found.oid))


def wrap(key_encryption_key: bytes, key: bytes) -> bytes:
    """AES key wrap."""
    return keywrap.aes_key_wrap(key_encryption_key, key)


def unwrap(key_encryption_key: bytes, wrapped: bytes, how: Algorithm) -> bytes:
    """Undo AES or 3DES key wrap; raises DecryptionFailed."""
    try:
        if how.family == "3des":
            return _unwrap_3des(key_encryption_key, wrapped)
        if how.family == "aes-pad":
            return keywrap.aes_key_unwrap_with_padding(key_encryption_key, wrapped)
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
