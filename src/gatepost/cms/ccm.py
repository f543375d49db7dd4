"""AES-CCM of content too large to hold, read only (NIST SP 800-38C, RFC 3610).

`cryptography` offers CCM for octets at hand alone; here it is put together from its two
parts, CTR and a CBC-MAC.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import constant_time
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from gatepost.mail.content import Content

BLOCK = 16
FIELD = 15  # octets of the nonce and the length field together


def decrypt(
    key: bytes, nonce: bytes, sealed: Content, tag: bytes, authenticated: bytes
) -> Iterator[bytes]:
    """The plain text, not to be released before the end; there InvalidTag is raised if it is not.

    Raises ValueError for content longer than the nonce leaves room to count.
    """
    width = FIELD - len(nonce)
    if sealed.size >> 8 * width:
        raise ValueError("content too long for CCM with this nonce")
    start = bytes((width - 1,)) + nonce + bytes(width)
    counter = Cipher(AES(key), modes.CTR(start)).decryptor()
    mask = counter.update(bytes(BLOCK))
    mac = Cipher(AES(key), modes.CBC(bytes(BLOCK))).encryptor()
    first = _first(nonce, width, sealed.size, len(tag), bool(authenticated))
    last = mac.update(_padded(first + _announced(authenticated)))
    rest = b""
    for chunk in sealed.chunks():
        plain = counter.update(chunk)
        last, rest = _absorbed(mac, last, rest + plain)
        yield plain
    last, _ = _absorbed(mac, last, _padded(rest))
    found = bytes(one ^ other for one, other in zip(last[-BLOCK:], mask, strict=True))
    if not constant_time.bytes_eq(found[: len(tag)], tag):
        raise InvalidTag


def _first(nonce: bytes, width: int, size: int, tag: int, has_more: bool) -> bytes:  # noqa: FBT001
    """The block B0 (SP 800-38C A.2.1)."""
    flags = 64 * has_more + 8 * ((tag - 2) // 2) + width - 1
    return bytes((flags,)) + nonce + size.to_bytes(width, "big")


def _announced(authenticated: bytes) -> bytes:
    """The associated data after its length (A.2.2)."""
    if not authenticated:
        return b""
    size = len(authenticated)
    length = size.to_bytes(2, "big") if size < 0xFF00 else b"\xff\xfe" + size.to_bytes(4, "big")
    return _padded(length + authenticated)


def _absorbed(mac: CipherContext, last: bytes, octets: bytes) -> tuple[bytes, bytes]:
    """The last block of the MAC so far, and the octets that do not fill one."""
    whole = len(octets) // BLOCK * BLOCK
    return (mac.update(octets[:whole]) if whole else last)[-BLOCK:], octets[whole:]


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % BLOCK)
