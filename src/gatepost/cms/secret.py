"""Content keys under a password or a shared key: pwri and kekri, read only (RFC 5652 6.2.3, 6.2.4).

A message names its own number of PBKDF2 iterations: what it may cost us is bounded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives import constant_time
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from gatepost.cms import algorithms, ber, der, identifier, keywrap
from gatepost.cms.algorithms import Algorithm
from gatepost.cms.capability import Digest, Password, Secret, SharedKey
from gatepost.cms.cipher import ContentCipher, block_cipher
from gatepost.errors import DecryptionFailed, LimitExceeded, Malformed, Unsupported

KEK = 0xA2
PASSWORD = 0xA3
MAXIMUM_ITERATIONS = 2_000_000  # about a second; twice what is recommended in 2026
MAXIMUM_KEY = 1024


def pairs(
    infos: Sequence[ber.Element], secrets: Sequence[Secret]
) -> Iterator[tuple[ber.Element, Secret]]:
    """Each RecipientInfo with each secret that may open it."""
    for info in infos:
        wanted = Password if info.tag == PASSWORD else SharedKey
        yield from ((info, one) for one in secrets if isinstance(one, wanted))


def open_key(info: ber.Element, secret: Secret, size: int) -> bytes:
    """The content-encryption key; raises DecryptionFailed, Unsupported or Malformed."""
    if isinstance(secret, Password):
        key = _by_password(info, secret.octets)
    else:
        key = _by_shared_key(info, secret)
    if len(key) != size:
        raise DecryptionFailed
    return key


def _by_shared_key(info: ber.Element, secret: SharedKey) -> bytes:
    fields = info.children()
    if len(fields) != 4:
        info.fail("not a KEKRecipientInfo")
    name = fields[1].sequence()
    if not name:
        info.fail("a KEKIdentifier without an identifier")
    if secret.key_id is not None and secret.key_id != name[0].octets():
        raise DecryptionFailed
    how = identifier.wrap(identifier.raw(fields[2]))
    if len(secret.key) != how.size:
        raise DecryptionFailed
    return keywrap.unwrap(secret.key, _encrypted_key(fields[3]), how)


def _by_password(info: ber.Element, password: bytes) -> bytes:
    fields = info.children()
    if len(fields) != 4 or fields[1].tag != 0xA0:
        # RFC 5652 6.2.4: without it "the key-encryption key is supplied from an external source"
        raise Unsupported("a password recipient without a key derivation is not supported")
    how, inner = identifier.opened(fields[2])
    if how != algorithms.BY_NAME["pwri-kek"].contents or inner is None:
        raise Unsupported(f"the key wrap {ber.dotted(how)} is not supported with a password")
    cipher, iv, tag = identifier.cipher(identifier.raw(inner))
    if tag:
        raise Unsupported(f"{cipher.name} is not supported with a password")
    kek = _derived(fields[1]._replace(tag=der.SEQUENCE), password, cipher.size)
    return _unwrap(kek, cipher, iv, _encrypted_key(fields[3]))


def _encrypted_key(element: ber.Element) -> bytes:
    if element.stop - element.start > MAXIMUM_KEY:
        element.fail("an encrypted key of unreasonable length")
    return element.octets()


def _derived(derivation: ber.Element, password: bytes, size: int) -> bytes:
    """PBKDF2 (RFC 8018 appendix A.2)."""
    contents, parameters = identifier.opened(derivation)
    if contents != algorithms.BY_NAME["pbkdf2"].contents or parameters is None:
        raise Unsupported(f"the key derivation {ber.dotted(contents)} is not supported")
    fields = parameters.sequence()
    if len(fields) < 2:
        parameters.fail("PBKDF2 without salt or iteration count")
    salt, iterations, *others = fields[:4]
    if salt.tag != der.OCTET_STRING or salt.stop - salt.start > MAXIMUM_KEY:
        raise Unsupported("PBKDF2 with a salt that is not a short octet string")
    count = iterations.integer()
    if not 1 <= count <= MAXIMUM_ITERATIONS:
        raise LimitExceeded(f"PBKDF2 with {count} iterations: the limit is {MAXIMUM_ITERATIONS}")
    if others and others[0].tag == 0x02 and others.pop(0).integer() != size:
        raise Malformed("PBKDF2 with a key length that is not the cipher's")
    digest = _pseudorandom(others[0]) if others else "sha1"
    return hashlib.pbkdf2_hmac(digest, password, salt.octets(), count, size)


def _pseudorandom(element: ber.Element) -> Digest:
    contents, _ = identifier.opened(element)
    found = algorithms.find(contents, "mac")
    if found is None or found.digest is None:
        raise Unsupported(f"PBKDF2 with {ber.dotted(contents)} is not supported")
    return found.digest


def _unwrap(kek: bytes, cipher: Algorithm, iv: bytes, wrapped: bytes) -> bytes:
    """RFC 3211 section 2.3.2: encrypted twice, the count and three check octets before the key."""
    block = len(iv)
    if len(wrapped) % block or len(wrapped) < 2 * block:
        raise DecryptionFailed
    last = _decrypt(kek, cipher, wrapped[-2 * block : -block], wrapped[-block:])
    outer = _decrypt(kek, cipher, last, wrapped[:-block]) + last
    plain = _decrypt(kek, cipher, iv, outer)
    count, check, key = plain[0], plain[1:4], plain[4:]
    complement = bytes(octet ^ 0xFF for octet in key[:3])
    if not constant_time.bytes_eq(check, complement) or not 3 <= count <= len(key):
        raise DecryptionFailed
    return key[:count]


def _decrypt(key: bytes, cipher: Algorithm, iv: bytes, data: bytes) -> bytes:
    block = block_cipher(ContentCipher(cipher, key, iv))
    context = Cipher(block, modes.CBC(iv)).decryptor()
    return context.update(data) + context.finalize()
