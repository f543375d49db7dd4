"""What an RSA key's bare operation gives, decoded here: PKCS #1 v1.5 and OAEP (RFC 8017).

A token's own v1.5 decryption answers an error for a wrong padding: an oracle
(Bleichenbacher).  Ours rejects implicitly: what is wrong gives octets drawn from a secret and
the ciphertext, the same each time.  Both outcomes are computed whatever the input.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from gatepost.cms.capability import Digest

_LONGEST = 256  # octets of candidate lengths: 128 of them, one of which always fits
_LEAST = 11  # octets of v1.5 padding (RFC 8017 section 7.2)


def v15(block: bytes, secret: bytes, ciphertext: bytes) -> bytes:
    """The message of an EME-PKCS1-v1_5 block, or made-up octets (RFC 8017 section 7.2.2)."""
    seed = hmac.digest(secret, ciphertext, hashlib.sha256)
    made = _drawn(seed, b"message", len(block))
    length = _last_fit(_drawn(seed, b"length", _LONGEST), len(block) - _LEAST)
    zero = block.find(0, 2)
    is_right = (block[0] == 0) & (block[1] == 2) & (zero >= _LEAST - 1)
    return (made[len(block) - length :], block[zero + 1 :])[is_right]


def oaep(block: bytes, digest: Digest, mask: Digest, label: bytes) -> bytes | None:
    """The message of an EME-OAEP block, or None (RFC 8017 section 7.1.2).

    The first octet is judged together with all the rest (Manger).
    """
    size = hashlib.new(digest).digest_size
    if len(block) < 2 * size + 2:
        return None
    seed, masked = block[1 : 1 + size], block[1 + size :]
    seed = _xor(seed, _mgf1(masked, size, mask))
    data = _xor(masked, _mgf1(seed, len(masked), mask))
    rest = data[size:].lstrip(b"\0")
    is_label = hmac.compare_digest(data[:size], hashlib.new(digest, label).digest())
    is_right = (block[0] == 0) & is_label & (rest[:1] == b"\1")
    return (None, rest[1:])[is_right]


def _drawn(seed: bytes, name: bytes, size: int) -> bytes:
    """Octets nobody can predict without the secret."""
    blocks: Iterable[bytes] = (
        hmac.digest(seed, number.to_bytes(2, "big") + name, hashlib.sha256)
        for number in range(-(-size // 32))
    )
    return b"".join(blocks)[:size]


def _last_fit(candidates: bytes, limit: int) -> int:
    """The last candidate below the limit, every one looked at."""
    mask = (1 << limit.bit_length()) - 1
    found = 0
    for at in range(0, len(candidates), 2):
        one = int.from_bytes(candidates[at : at + 2], "big") & mask
        found = (found, one)[one < limit]
    return found


def _mgf1(seed: bytes, size: int, digest: Digest) -> bytes:
    """RFC 8017 appendix B.2.1."""
    made, number = b"", 0
    while len(made) < size:
        made += hashlib.new(digest, seed + number.to_bytes(4, "big")).digest()
        number += 1
    return made[:size]


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
