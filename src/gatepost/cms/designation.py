"""How CMS names a certificate: issuer and serial number, or subject key identifier.

RFC 5652 sections 5.3, 6.2.1 and 10.2.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from gatepost.certificate import Certificate
from gatepost.cms import ber, der
from gatepost.errors import Malformed

MAXIMUM_NAME = 16 * 1024
MAXIMUM_REMEMBERED = 512


@dataclass(frozen=True, slots=True)
class CertificateId:
    """A certificate named by its issuer and serial number or by its key identifier."""

    issuer: bytes | None  # DER Name as sent
    serial: int | None
    key_id: bytes | None

    def names(self, certificate: Certificate) -> bool:
        """Whether this is the certificate meant."""
        if self.issuer is None:
            return self.key_id is not None and self.key_id == certificate.key_id
        return self.serial == certificate.serial and _same_name(self.issuer, certificate.issuer)

    def among(self, certificates: Iterable[Certificate]) -> Certificate | None:
        """The first certificate this names."""
        return next((one for one in certificates if self.names(one)), None)


@lru_cache(maxsize=4096)
def issuer_and_serial(certificate: Certificate) -> bytes:
    """IssuerAndSerialNumber."""
    return der.sequence(certificate.issuer, der.integer(certificate.serial))


def parse(element: ber.Element, key_id_tag: int = 0x80) -> CertificateId:
    """A SignerIdentifier or RecipientIdentifier."""
    if element.tag & ~der.CONSTRUCTED == key_id_tag & ~der.CONSTRUCTED:
        return CertificateId(None, None, element.octets())
    if element.stop - element.start > MAXIMUM_REMEMBERED:
        return parse_issuer_and_serial(element.sequence())
    return _remembered(element.raw)


@lru_cache(maxsize=4096)
def _remembered(encoded: bytes) -> CertificateId:
    """The same few certificates are named again and again."""
    return parse_issuer_and_serial(ber.parse(encoded).sequence())


def parse_issuer_and_serial(fields: list[ber.Element]) -> CertificateId:
    """The two fields of an IssuerAndSerialNumber, whatever its tag was."""
    if len(fields) != 2:
        raise Malformed("an IssuerAndSerialNumber has two fields")
    issuer = fields[0].expect(der.SEQUENCE)
    if issuer.stop - issuer.start > MAXIMUM_NAME:
        issuer.fail("an issuer name of unreasonable length")
    return CertificateId(issuer.raw, fields[1].integer(), None)


def _same_name(one: bytes, other: bytes) -> bool:
    return one == other or _comparable(one) == _comparable(other)


_TEXT = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}


@lru_cache(maxsize=512)
def _comparable(name: bytes) -> tuple[tuple[tuple[bytes, str | bytes], ...], ...] | bytes:
    """A Name without string types, case and extra spaces (RFC 5280 section 7.1).

    Some senders re-encode the issuer; the certificate meant is still plain.
    """
    try:
        return tuple(
            tuple(sorted(map(_attribute, relative.set_of()), key=repr))
            for relative in ber.parse(name).sequence()
        )
    except Malformed:
        return name


def _attribute(element: ber.Element) -> tuple[bytes, str | bytes]:
    fields = element.sequence()
    if len(fields) != 2:
        element.fail("a name attribute has a type and a value")
    kind, value = fields
    octets = value.source.octets[value.inner : value.outer]
    if value.tag not in _TEXT:
        return kind.oid(), octets
    return kind.oid(), " ".join(octets.decode(_TEXT[value.tag], "replace").casefold().split())
