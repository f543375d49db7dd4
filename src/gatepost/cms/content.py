"""What kind of content a ContentInfo holds (RFC 5652 section 3, RFC 5083, RFC 3274)."""

from __future__ import annotations

from gatepost.cms import ber, der
from gatepost.errors import Malformed

DATA = der.oid_contents("1.2.840.113549.1.7.1")
SIGNED_DATA = der.oid_contents("1.2.840.113549.1.7.2")
ENVELOPED_DATA = der.oid_contents("1.2.840.113549.1.7.3")
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
    der.oid_contents("1.2.840.113549.1.9.16.1.9"): "compressed-data",
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
    fields = ber.parse(octets).sequence()
    if len(fields) != 2:
        raise Malformed("not a CMS ContentInfo: a type and a content are expected")
    inside = fields[1].expect(0xA0).children()
    if len(inside) != 1:
        raise Malformed("not a CMS ContentInfo: exactly one content is expected")
    return fields[0].oid(), inside[0]
