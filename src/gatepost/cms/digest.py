"""Digests by name: as `cryptography` wants them, and computed over content in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from gatepost.cms.capability import Digest
from gatepost.mail.content import Content

SHAKE_SIZE = 64
HASHES: dict[Digest, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),  # noqa: S303  read and flagged as weak, never written
    "sha1": hashes.SHA1(),  # noqa: S303  as above
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
    "shake256": hashes.SHAKE256(SHAKE_SIZE),
}
WEAK: frozenset[str] = frozenset(("md5", "sha1"))


def strength(curve: ec.EllipticCurve) -> Digest:
    """The digest as strong as a curve (RFC 5480 section 4)."""
    if curve.key_size <= 256:
        return "sha256"
    return "sha384" if curve.key_size <= 384 else "sha512"


def digest_of(name: Digest, octets: bytes) -> bytes:
    """The digest of octets at hand."""
    if name == "shake256":
        return hashlib.shake_256(octets, usedforsecurity=False).digest(SHAKE_SIZE)
    return hashlib.new(name, octets, usedforsecurity=False).digest()


def digests_of(content: Content, names: Iterable[Digest]) -> dict[Digest, bytes]:
    """Each digest over all the octets, in one pass."""
    running = {name: _started(name) for name in names}
    for chunk in content.chunks():
        for one in running.values():
            one.update(chunk)
    return {name: one.digest() for name, one in running.items()}


def _started(name: Digest) -> _Running:
    if name == "shake256":
        return _Shake()
    return hashlib.new(name, usedforsecurity=False)


class _Running(Protocol):
    def update(self, octets: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Shake:
    """SHAKE256 with the one output length CMS gives it (RFC 8419 section 2.3)."""

    def __init__(self) -> None:
        self._running = hashlib.shake_256(usedforsecurity=False)

    def update(self, octets: bytes, /) -> None:
        self._running.update(octets)

    def digest(self) -> bytes:
        return self._running.digest(SHAKE_SIZE)
