"""A second reading of certificates that are not quite DER, as some CAs have made them.

Only the copy that is parsed is mended: names, signatures and fingerprints are those of the
octets that came.  Mended are defaults spelled out, `critical FALSE` and `cA FALSE` (X.690
section 11.5), and names whose strings hold Latin-1, as TeletexString did for decades.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

SEQUENCE, SET, OCTETS, UTF8 = 0x30, 0x31, 0x04, 0x0C
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_STRINGS = frozenset((0x13, 0x14, 0x16))  # PrintableString, TeletexString, IA5String
_FALSE = (0x01, b"\x00")
_BASIC_CONSTRAINTS = (0x06, b"\x55\x1d\x13")
_AUTHORITY_KEY = (0x06, b"\x55\x1d\x23")
_KEY_IDENTIFIER = 0x80

Element = tuple[int, bytes]


def mended(der: bytes) -> bytes:
    """The certificate in DER; raises ValueError if its structure is another."""
    ((tag, whole),) = _elements(der)
    body, *rest = _elements(whole)
    fields = list(_elements(body[1]))
    if tag != SEQUENCE or body[0] != SEQUENCE or len(fields) < 6:
        raise ValueError("not a certificate")
    first = 1 if fields[0][0] == _VERSION else 0
    for place in (first + 2, first + 4):  # issuer, subject
        fields[place] = SEQUENCE, _name(fields[place][1])
    if fields[-1][0] == _EXTENSIONS:
        fields[-1] = _EXTENSIONS, _extensions(fields[-1][1])
    return _joined(SEQUENCE, [(SEQUENCE, _contents(fields)), *rest])


def _name(octets: bytes) -> bytes:
    return b"".join(
        _joined(SET, [(SEQUENCE, _attribute(pair)) for _, pair in _elements(relative)])
        for _, relative in _elements(octets)
    )


def _attribute(octets: bytes) -> bytes:
    kind, *values = _elements(octets)
    return _contents([kind, *map(_string, values)])


def _string(element: Element) -> Element:
    tag, octets = element
    if tag not in _STRINGS or octets.isascii():
        return element
    return UTF8, octets.decode("latin-1").encode()


def _extensions(octets: bytes) -> bytes:
    ((_, every),) = _elements(octets)
    return _joined(SEQUENCE, [(SEQUENCE, _extension(one)) for _, one in _elements(every)])


def _extension(octets: bytes) -> bytes:
    oid, *rest = (field for field in _elements(octets) if field != _FALSE)
    if not rest:
        raise ValueError("an extension without a value")
    if oid == _BASIC_CONSTRAINTS:
        rest[-1] = OCTETS, _inside(rest[-1], lambda field: field != _FALSE)
    if oid == _AUTHORITY_KEY:  # the issuer's name, which nobody needs, may have such strings
        rest[-1] = OCTETS, _inside(rest[-1], lambda field: field[0] == _KEY_IDENTIFIER)
    return _contents([oid, *rest])


def _inside(value: Element, kept: Callable[[Element], bool]) -> bytes:
    ((tag, octets),) = _elements(value[1])
    return _joined(tag, list(filter(kept, _elements(octets))))


def _elements(octets: bytes) -> Iterator[Element]:
    """What stands one after the other, with definite lengths and one-octet tags."""
    at = 0
    while at < len(octets):
        start = at + 2
        length = octets[at + 1] if start <= len(octets) else len(octets)
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(octets[at + 2 : start], "big")
        if start + length > len(octets):
            raise ValueError("an element that ends beyond its surroundings")
        yield octets[at], octets[start : start + length]
        at = start + length


def _contents(elements: list[Element]) -> bytes:
    return b"".join(_encoded(tag, octets) for tag, octets in elements)


def _joined(tag: int, elements: list[Element]) -> bytes:
    return _encoded(tag, _contents(elements))


def _encoded(tag: int, octets: bytes) -> bytes:
    size = len(octets)
    if size < 0x80:
        return bytes((tag, size)) + octets
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + octets
