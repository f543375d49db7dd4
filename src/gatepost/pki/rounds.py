"""How much work a file may ask for to make a key from its password: seconds, not hours.

PBKDF2 and PBES1 (RFC 8018), the derivation of PKCS #12 (RFC 7292 appendix B), scrypt (RFC 7914).
The file is read as any reader may read it, in BER and in strings of strings, so that nothing
that is asked for is overlooked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from gatepost.errors import LimitExceeded, Malformed

MAXIMUM: Final = 10_000_000  # rounds of a hash
MAXIMUM_WORK: Final = 1 << 23  # N·r·p of scrypt, and its memory in units of 128 octets
MAXIMUM_DEPTH: Final = 32
MAXIMUM_NESTED: Final = 2  # strings in strings: a PFX, its AuthenticatedSafe, a SafeContents
MAXIMUM_ELEMENTS: Final = 1_000_000
_INTEGER, _STRING, _OID, _SEQUENCE, _CONSTRUCTED = 0x02, 0x04, 0x06, 0x30, 0x20
_SCRYPT: Final = bytes.fromhex("2b06010401da47040b")


class _Element(NamedTuple):
    tag: int
    octets: bytes  # of a primitive
    inside: Sequence[_Element] = ()


def check(data: bytes) -> None:
    """Raise LimitExceeded before anything is derived, or Malformed for what is no BER."""
    pending, left = [(data, 0)], [MAXIMUM_ELEMENTS]
    while pending:
        octets, nested = pending.pop()
        try:
            found, _ = _element(octets, 0, 0, left)
        except IndexError as error:
            if nested:
                continue  # something else is in this string, sealed perhaps
            raise Malformed("the file is cut short or damaged") from error
        if not nested and len(found.inside) == 3:  # PFX, with MacData
            _check_mac(found.inside[2].inside)
        for one in _every(found):
            _check_derivation(one.inside)
            if one.tag & ~_CONSTRUCTED == _STRING and nested < MAXIMUM_NESTED:
                pending.append((_joined(one), nested + 1))


def _check_mac(parts: Sequence[_Element]) -> None:
    """MacData ::= SEQUENCE { mac, macSalt OCTET STRING, iterations INTEGER DEFAULT 1 }."""
    if len(parts) == 3:
        _check_count(parts[2])


def _check_derivation(parts: Sequence[_Element]) -> None:
    """An algorithm whose parameters begin with salt and count, whatever it is called."""
    for name, given in pairwise(parts):
        if name.tag != _OID or given.tag != _SEQUENCE or len(given.inside) < 2:
            continue
        salt, *counts = given.inside
        if salt.tag & ~_CONSTRUCTED != _STRING or counts[0].tag != _INTEGER:
            continue
        _check_count(counts[0])
        if name.octets == _SCRYPT:
            work = 1
            for one in counts:
                work *= _number(one) if one.tag == _INTEGER else 1
                if work > MAXIMUM_WORK:
                    raise LimitExceeded("the file asks for too much work to make a key")


def _check_count(count: _Element) -> None:
    if _number(count) > MAXIMUM:
        raise LimitExceeded("the file asks for too many rounds of key derivation")


def _number(element: _Element) -> int:
    """One of more than eight octets is too large, whatever it is."""
    return int.from_bytes(element.octets, "big") if len(element.octets) <= 8 else 1 << 64


def _every(element: _Element) -> Iterator[_Element]:
    pending = [element]
    while pending:
        yield (one := pending.pop())
        pending += one.inside


def _joined(element: _Element) -> bytes:
    if not element.inside:
        return element.octets
    return b"".join(_joined(one) for one in element.inside)  # no deeper than what was read


def _element(octets: bytes, at: int, depth: int, left: list[int]) -> tuple[_Element, int]:
    """The element here and where it ends; raises IndexError."""
    left[0] -= 1
    if left[0] < 0 or depth > MAXIMUM_DEPTH:
        raise LimitExceeded("the file has too many elements, or they are nested too deep")
    tag, at = octets[at], at + 1
    if tag & 0x1F == 0x1F:  # X.690 section 8.1.2.4
        while octets[at] & 0x80:
            at += 1
        at += 1
    size, at = octets[at], at + 1
    if size == 0x80 and tag & _CONSTRUCTED:
        return _open(octets, at, tag, depth, left)
    if size & 0x80:
        size, at = int.from_bytes(octets[at : at + (size & 0x7F)], "big"), at + (size & 0x7F)
    stop = at + size
    if stop > len(octets):
        raise IndexError
    if not tag & _CONSTRUCTED:
        return _Element(tag, octets[at:stop]), stop
    inside = []
    while at < stop:
        one, at = _element(octets, at, depth + 1, left)
        inside.append(one)
    return _Element(tag, b"", inside), stop


def _open(octets: bytes, at: int, tag: int, depth: int, left: list[int]) -> tuple[_Element, int]:
    """What is inside until the two zeros that end an indefinite length (X.690 section 8.1.5)."""
    inside = []
    while octets[at : at + 2] != b"\0\0":
        one, at = _element(octets, at, depth + 1, left)
        inside.append(one)
    return _Element(tag, b"", inside), at + 2
