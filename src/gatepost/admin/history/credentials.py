"""The keys and certificates in one file, tried with every password of a list.

PKCS #12 may hold the keys of a whole company (RFC 7292 section 4); the library reads one, the
others are found here.  PEM may hold several keys as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from gatepost.certificate import Certificate
from gatepost.cms import ber
from gatepost.errors import GatepostError, LimitExceeded, Malformed
from gatepost.pki import p12
from gatepost.pki.pem import WrongPassword, read_certificates, read_key

PATIENCE: Final = 60.0  # seconds for the passwords of one file
MAXIMUM_KEYS: Final = 10_000  # in one file
_DATA = bytes.fromhex("2a864886f70d010701")
_BAG = bytes.fromhex("2a864886f70d010c0a01")  # pkcs-12 bag types: 1 a bare key, 2 a sealed one
_KEY_BAGS: Final = frozenset({_BAG + b"\x01", _BAG + b"\x02"})
_EXPLICIT = 0xA0


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file."""

    keys: tuple[PrivateKeyTypes, ...] = field(default=(), repr=False)
    certificates: tuple[Certificate, ...] = ()


@dataclass(slots=True)
class Passwords:
    """The list; what opened the last file is tried first, for a batch often has one."""

    known: list[str]
    clock: Callable[[], float] = time.monotonic

    def opened(self, octets: bytes) -> Content:
        """The content of a file; raises WrongPassword when none opens it, or another error."""
        end = self.clock() + PATIENCE
        for number, one in enumerate(("", *self.known)):
            try:
                found = content(octets, one)
            except WrongPassword:
                if self.clock() > end:
                    raise WrongPassword(
                        f"none of the first {number} passwords opens it; "
                        "to try the others would take too long"
                    ) from None
                continue
            if one:
                self.known.remove(one)
                self.known.insert(0, one)
            return found
        raise WrongPassword(f"none of {len(self.known)} passwords opens it")


def content(octets: bytes, password: str) -> Content:
    """Keys and certificates; raises WrongPassword, Malformed, LimitExceeded, Unsupported."""
    if b"-----BEGIN" in octets and b"-----BEGIN PKCS12" not in octets:
        return _pem(octets, password)
    with suppress(Malformed):
        return Content(certificates=read_certificates(octets))
    try:
        return _pkcs12(octets, password)
    except LimitExceeded:
        raise
    except Malformed:
        return Content((_bare(octets, password),))


def _bare(octets: bytes, password: str) -> PrivateKeyTypes:
    try:
        return read_key(octets, password or None)
    except Malformed:
        if password:  # in DER nothing but the failure says that this one is wrong
            read_key(octets)
        raise Malformed("it is neither PKCS #12 nor a key nor a certificate") from None


def _pem(octets: bytes, password: str) -> Content:
    keys = tuple(read_key(one, password or None) for one in _blocks(octets))
    certificates = read_certificates(octets) if b"BEGIN CERTIFICATE" in octets else ()
    if not keys and not certificates:
        certificates = read_certificates(octets)
    return Content(keys, certificates)


def _blocks(octets: bytes) -> Iterator[bytes]:
    """Every private key's lines."""
    block: list[bytes] = []
    count = 0
    for line in octets.splitlines():
        if line.startswith(b"-----BEGIN ") and line.rstrip().endswith(b"PRIVATE KEY-----"):
            block = [line]
        elif block:
            block.append(line)
            if line.startswith(b"-----END "):
                count += 1
                if count > MAXIMUM_KEYS:
                    raise LimitExceeded(f"it holds more than {MAXIMUM_KEYS} keys")
                yield b"\n".join(block) + b"\n"
                block = []


def _pkcs12(octets: bytes, password: str) -> Content:
    found = p12.read(octets, password)
    keys: list[PrivateKeyTypes] = [found.key]
    sealed = _sealed_keys(octets)
    if len(sealed) > 1:
        keys = [read_key(one, password or None) for one in sealed]
    return Content(tuple(keys), (found.certificate, *found.issuers))


def _sealed_keys(octets: bytes) -> Sequence[bytes]:
    """PFX → AuthenticatedSafe → SafeContents → key bags; PKCS #8 in DER each."""
    try:
        safes = ber.parse(_data(ber.parse(octets).sequence()[1])).sequence()
        bags = [
            bag.sequence()
            for safe in safes
            if safe.sequence()[0].oid() == _DATA
            for bag in ber.parse(_data(safe)).sequence()
        ]
    except (GatepostError, IndexError):
        return ()  # armoured, or of a kind the library alone knows: one key then
    found = [ber.canonical(bag[1].children()[0]) for bag in bags if bag[0].oid() in _KEY_BAGS]
    if len(found) > MAXIMUM_KEYS:
        raise LimitExceeded(f"it holds more than {MAXIMUM_KEYS} keys")
    return found


def _data(info: ber.Element) -> bytes:
    """ContentInfo ::= SEQUENCE { id-data, [0] EXPLICIT OCTET STRING }."""
    return info.sequence()[1].expect(_EXPLICIT).children()[0].octet_string()
