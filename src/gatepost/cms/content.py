"""What kind of content a ContentInfo holds, and content inside (RFC 5652 sections 3 and 5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gatepost.cms import ber, der
from gatepost.errors import Malformed
from gatepost.mail.content import CHUNK

DATA = der.oid_contents("1.2.840.113549.1.7.1")
SIGNED_DATA = der.oid_contents("1.2.840.113549.1.7.2")
ENVELOPED_DATA = der.oid_contents("1.2.840.113549.1.7.3")
COMPRESSED_DATA = der.oid_contents("1.2.840.113549.1.9.16.1.9")
AUTHENVELOPED_DATA = der.oid_contents("1.2.840.113549.1.9.16.1.23")

KINDS = {
    DATA: "data",
    SIGNED_DATA: "signed-data",
    ENVELOPED_DATA: "enveloped-data",
    der.oid_contents("1.2.840.113549.1.7.4"): "signed-and-enveloped-data",
    der.oid_contents("1.2.840.113549.1.7.5"): "digested-data",
    der.oid_contents("1.2.840.113549.1.7.6"): "encrypted-data",
    der.oid_contents("1.2.840.113549.1.9.16.1.2"): "authenticated-data",
    der.oid_contents("1.2.840.113549.1.9.16.1.4"): "tst-info",
    COMPRESSED_DATA: "compressed-data",
    AUTHENVELOPED_DATA: "authenveloped-data",
}


def kind(octets: bytes) -> str:
    """The name of the content type, or its dotted OID; raises Malformed."""
    contents, _ = opened(octets)
    return name(contents)


def name(contents: bytes) -> str:
    """The name for a content type's OID, or its dotted form."""
    return KINDS.get(contents) or ber.dotted(contents)


def opened(octets: bytes) -> tuple[bytes, ber.Element]:
    """The type (OID content octets) and the content of a ContentInfo."""
    if (found := _opened_quickly(octets)) is not None:
        return found
    fields = ber.parse(octets).sequence()
    if len(fields) != 2:
        raise Malformed("not a CMS ContentInfo: a type and a content are expected")
    inside = fields[1].expect(0xA0).children()
    if len(inside) != 1:
        raise Malformed("not a CMS ContentInfo: exactly one content is expected")
    return fields[0].oid(), inside[0]


def _opened_quickly(octets: bytes) -> tuple[bytes, ber.Element] | None:
    """The usual case, where every length is known: one element is made instead of five."""
    tag, inner, end = ber.head(octets, 0, len(octets))
    if tag != der.SEQUENCE or end == ber.INDEFINITE:
        return None
    kind, first, stop = ber.head(octets, inner, end)
    if kind != 0x06:
        return None
    explicit, inner, outer = ber.head(octets, stop, end)
    if explicit != 0xA0 or outer != end:
        return None
    tag, inside, outer = ber.head(octets, inner, end)
    if outer != end:
        return None
    return octets[first:stop], ber.Element(ber.Source(octets), tag, inner, inside, outer, outer, 2)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Content as it lies in the message, in one piece or many."""

    pieces: tuple[memoryview, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """Octets of all pieces."""
        return sum(map(len, self.pieces))

    def chunks(self) -> Iterator[bytes]:
        """Yield the octets, copying little at a time."""
        for piece in self.pieces:
            yield from (bytes(piece[at : at + CHUNK]) for at in range(0, len(piece), CHUNK))


def encapsulated(element: ber.Element) -> tuple[bytes, Pieces | None]:
    """The type of an EncapsulatedContentInfo and its content, None if it is detached."""
    fields = element.sequence()
    if not 1 <= len(fields) <= 2:
        element.fail("not an EncapsulatedContentInfo")
    if len(fields) == 1:
        return fields[0].oid(), None
    inside = fields[1].expect(0xA0).children()
    if len(inside) != 1:
        element.fail("encapsulated content that is not one value")
    value = inside[0]
    if value.tag & ~der.CONSTRUCTED == der.OCTET_STRING:
        return fields[0].oid(), Pieces(value.pieces())
    # RFC 5652 5.2.1: PKCS #7 allowed any type here, digested without its tag and length
    return fields[0].oid(), Pieces((memoryview(value.source.octets)[value.inner : value.outer],))
