"""SignedData: sign content, read what was signed, verify it (RFC 5652 section 5).

The writer makes SignedData over id-data in DER; the reader takes BER.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from gatepost.certificate import Certificate
from gatepost.cms import algorithms, attributes, ber, bulk, der, enclosure, identifier, signer
from gatepost.cms import content as contents
from gatepost.cms.bulk import Bulk
from gatepost.cms.capability import Digest, SignatureScheme, Signer
from gatepost.cms.digest import digests_of
from gatepost.cms.enclosure import Enclosed
from gatepost.cms.signer import SignerInfo, SignerVerdict, Subject
from gatepost.errors import LimitExceeded, Malformed, Unsupported
from gatepost.mail.content import Content, Octets, Rope, Slice, join, settled

MAXIMUM_CERTIFICATES = 500
MAXIMUM_SIGNERS = 50
START = 4096  # as much of the content as signed attributes would need to show themselves


@dataclass(frozen=True, slots=True)
class SignedData:
    """A SignedData as it was sent; nothing is checked yet."""

    content_type: str  # "data", or what else was signed
    inside: Content | None  # the content without a copy; None: it is detached, or there is none
    certificates: tuple[Certificate, ...]
    signers: tuple[SignerInfo, ...]
    content_oid: bytes = field(repr=False)
    declared: frozenset[Digest]  # digestAlgorithms, those known to us
    enclosed: tuple[Enclosed, ...] = ()  # of revocation

    @property
    def content(self) -> bytes | None:
        """The content inside, made one; None: it is detached, or there is none."""
        return None if self.inside is None else join(self.inside)

    @property
    def certificates_only(self) -> bool:
        """Whether it only carries certificates: nothing signed, nobody signing (RFC 8551 3.8)."""
        return not self.signers and self.inside is None

    @property
    def digests(self) -> tuple[Digest, ...]:
        """The digests its signers use, for `micalg`; unknown ones left out."""
        return tuple(dict.fromkeys(_known(one.digest_identifier for one in self.signers)))


def sign(
    content: Content,
    signers: Sequence[Signer],
    scheme: SignatureScheme | None,
    *,
    detached: bool,
    when: datetime,
    extra: Sequence[Certificate] = (),
    capabilities: Sequence[str] = algorithms.CAPABILITIES,
    encryption_certificate: Certificate | None = None,
    enclosed: Sequence[Enclosed] = (),
) -> Content:
    """A ContentInfo with SignedData: all octets at once if detached or small, else a rope.

    A `scheme` the key of a signer cannot do, or None, leaves the choice to the key's type.
    """
    schemes = [signer.fitting(one, scheme) for one in signers]
    digests = digests_of(content, {one.digest for one in schemes})
    infos = []
    for one, how in zip(signers, schemes, strict=True):
        fixed = attributes.fixed(one.certificate, tuple(capabilities), encryption_certificate)
        said = attributes.compose(fixed, digests[how.digest], when)
        infos.append(signer.compose(one, how, said))
    certificates = _included(signers, extra, encryption_certificate)
    beside = enclosure.compose(tuple(enclosed))
    tail = _certificate_set(certificates) + beside + der.set_of(*infos)
    used = {identifier.digest_identifier(one.digest) for one in schemes}
    before = der.integer(enclosure.version(enclosed)) + der.set_of(*used)
    return _assembled(content, before, tail, detached=detached)


def _included(
    signers: Iterable[Signer], extra: Iterable[Certificate], encryption: Certificate | None
) -> tuple[Certificate, ...]:
    own = [certificate for one in signers for certificate in (one.certificate, *one.chain)]
    return tuple(dict.fromkeys((*own, *extra, *((encryption,) if encryption else ()))))


@lru_cache(maxsize=1024)
def _certificate_set(certificates: tuple[Certificate, ...]) -> bytes:
    """[0] IMPLICIT CertificateSet, a SET OF in DER order."""
    return der.explicit(0, *sorted(certificate.der for certificate in certificates))


_DATA = der.tlv(0x06, contents.DATA)
_SIGNED_DATA = der.tlv(0x06, contents.SIGNED_DATA)


def _assembled(content: Content, before: bytes, tail: bytes, *, detached: bool) -> Content:
    if detached:
        body = der.sequence(before, der.sequence(_DATA), tail)
        return Octets(der.sequence(_SIGNED_DATA, der.explicit(0, body)))
    shell = (
        der.Shell(content.size)
        .within(der.OCTET_STRING)
        .within(0xA0)
        .within(der.SEQUENCE, _DATA)
        .within(der.SEQUENCE, before, tail)
        .within(0xA0)
        .within(der.SEQUENCE, _SIGNED_DATA)
    )
    whole = Rope((Octets(shell.prefix), content, Octets(shell.suffix)))
    return settled(whole)


def parse(octets: bytes | Bulk) -> SignedData:
    """Read a ContentInfo with SignedData (BER); raises Malformed or Unsupported."""
    frame, apart = bulk.taken(octets)
    kind, body = contents.opened(frame)
    if kind != contents.SIGNED_DATA:
        raise Unsupported(f"{contents.name(kind)} where signed-data was expected")
    fields = body.sequence()
    if len(fields) < 4:
        body.fail("not a SignedData")
    content_oid, inside = contents.encapsulated(fields[2])
    certificates: tuple[Certificate, ...] = ()
    enclosed: tuple[Enclosed, ...] = ()
    for one in fields[3:-1]:
        if one.tag == 0xA0:
            certificates = _certificates(one)
        else:
            enclosed = enclosure.parse(one.expect(0xA1))
    infos = fields[-1].set_of()
    if len(infos) > MAXIMUM_SIGNERS:
        raise LimitExceeded(f"{len(infos)} signers are over the limit of {MAXIMUM_SIGNERS}")
    return SignedData(
        content_type=contents.name(content_oid),
        inside=apart or inside,
        certificates=certificates,
        signers=tuple(signer.parse(one) for one in infos),
        content_oid=content_oid,
        declared=frozenset(_known(identifier.raw(one) for one in fields[1].set_of())),
        enclosed=enclosed,
    )


def _certificates(element: ber.Element) -> tuple[Certificate, ...]:
    """The X.509 certificates; other choices and broken ones are of no use and passed over."""
    found = element.children()
    if len(found) > MAXIMUM_CERTIFICATES:
        raise LimitExceeded(f"{len(found)} certificates: the limit is {MAXIMUM_CERTIFICATES}")
    certificates = []
    for one in found:
        if one.tag == der.SEQUENCE:
            try:
                certificates.append(Certificate.from_der(one.raw))
            except Malformed:
                continue
    return tuple(dict.fromkeys(certificates))


def verify(
    signed: SignedData, content: Content | None, *, known: Sequence[Certificate] = ()
) -> tuple[SignerVerdict, ...]:
    """Check every signature, over `content` if given, else over the content inside.

    `known` are certificates that may not be in the message.  No signers, no verdicts.
    """
    about = signed.inside if content is None else content
    if about is None:
        raise Malformed("a detached signature without the content it is about")
    digests = digests_of(about, signed.digests)
    subject = Subject(
        content_type=signed.content_oid,
        # RFC 5652 5.1: one "not included in this set" MAY fail, and with OpenSSL it does
        digests={name: value for name, value in digests.items() if name in signed.declared},
        start=join(Slice(about, 0, min(about.size, START))),
        about=about,
        differs=about is not signed.inside and _differs(signed.inside, digests),
    )
    certificates = (*signed.certificates, *known)
    return tuple(signer.verify(one, subject, certificates) for one in signed.signers)


def _differs(inside: Content | None, digests: Mapping[Digest, bytes]) -> bool:
    """Whether there is content inside, and another than that it came with.

    Of two contents the reader sees one and the signature may speak of the other.
    """
    return inside is not None and digests_of(inside, digests) != digests


def _known(identifiers: Iterable[bytes]) -> Iterator[Digest]:
    for one in identifiers:
        try:
            yield identifier.digest_name(one)
        except (Malformed, Unsupported):
            continue  # the verdict of a signer that uses it will say so
