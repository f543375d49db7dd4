"""One SignerInfo: made, read, and its signature checked (RFC 5652 sections 5.3 to 5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import islice

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from gatepost.certificate import Certificate
from gatepost.cms import (
    algorithms,
    attributes,
    ber,
    content,
    der,
    designation,
    identifier,
    signature,
)
from gatepost.cms.attributes import Attributes
from gatepost.cms.capability import Digest, SignatureScheme, Signer
from gatepost.cms.designation import CertificateId
from gatepost.cms.digest import WEAK, digest_of, strength
from gatepost.cms.identifier import SignatureAlgorithm
from gatepost.errors import GatepostError, Malformed, Unsupported
from gatepost.mail.content import Content, join

MAXIMUM_CANDIDATES = 8  # certificates of one name or key that a signature is tried with
MAXIMUM_BARE = 64 * 1024 * 1024  # octets that are signed whole, which needs them in one piece


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One signature as it was sent; nothing is checked yet."""

    version: int
    certificate_id: CertificateId
    digest_identifier: bytes
    algorithm_identifier: bytes
    signature: bytes = field(repr=False)
    signed_attributes: bytes | None = field(repr=False)  # as sent, tag [0]
    unsigned_attributes: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subject:
    """What the signers of one message signed, as far as verifying needs it."""

    content_type: bytes
    digests: Mapping[Digest, bytes]
    start: bytes  # the first octets
    about: Content
    differs: bool = False  # two contents, and they are not the same


@dataclass(frozen=True, slots=True)
class SignerVerdict:
    """What the mathematics says of one signature; trust in the certificate is `pki`'s business."""

    intact: bool  # content, attributes and signature belong together
    certificate: Certificate | None  # None: not in the message, nor known
    digest: str = ""
    scheme: str = ""  # "rsa-pkcs1", "rsa-pss", "ecdsa", "ed25519", "ml-dsa-65", "dsa" …
    signing_time: datetime | None = None  # as claimed by the signer
    capabilities: frozenset[str] = frozenset()
    weak: bool = False
    reason: str = ""  # why it is not intact
    encryption_certificate: Certificate | None = None  # SMIMEEncryptionKeyPreference
    bound: bool = False  # the signature itself says which certificate it is by (RFC 5035)

    def __bool__(self) -> bool:
        raise TypeError("ask a SignerVerdict for `intact`; a verdict is not a truth value")


# Making


def fitting(signer: Signer, scheme: SignatureScheme | None) -> SignatureScheme:
    """The scheme wished for if the key can do it, else what its type calls for."""
    return _fitting(signer.certificate, scheme)


@lru_cache(maxsize=1024)
def _fitting(certificate: Certificate, scheme: SignatureScheme | None) -> SignatureScheme:
    chosen = _chosen(certificate, scheme)
    if chosen is None:
        raise Unsupported(f"the key of {certificate.name} cannot sign")
    if algorithms.BY_NAME[chosen.digest].create_from is None:
        raise Unsupported(f"signing with {chosen.digest} is not supported")
    return chosen


def _chosen(certificate: Certificate, scheme: SignatureScheme | None) -> SignatureScheme | None:
    key, family = certificate.public_key, "" if scheme is None else scheme.family
    if isinstance(key, rsa.RSAPublicKey):
        return _chosen_rsa(certificate, scheme)
    if isinstance(key, ec.EllipticCurvePublicKey):
        fits = family == "ecdsa"
        return scheme if fits else SignatureScheme("ecdsa", strength(key.curve))
    if isinstance(key, ed25519.Ed25519PublicKey):
        return SignatureScheme("ed25519", "sha512")  # RFC 8419 section 3
    for name, kind in signature.ML_DSA.items():
        if isinstance(key, kind):  # RFC 9882 3.3: SHA-512 suits every parameter set
            return SignatureScheme(name, "sha512")
    return None


def _chosen_rsa(certificate: Certificate, scheme: SignatureScheme | None) -> SignatureScheme | None:
    only = signature.certified_for(certificate)
    if only == "rsa-oaep":
        return None
    if only != "rsa-pss":
        fits = scheme is not None and scheme.family in ("rsa-pkcs1", "rsa-pss")
        return scheme if fits else SignatureScheme("rsa-pkcs1", "sha256")
    limits = signature.pss_limits(certificate)
    if limits is None or limits.digest is None:
        fits = scheme is not None and scheme.family == "rsa-pss"
        return scheme if fits else SignatureScheme("rsa-pss", "sha256")
    if limits.mgf_digest != limits.digest:
        raise Unsupported("signing with an MGF1 digest other than the content's is not supported")
    return SignatureScheme("rsa-pss", limits.digest, limits.salt)


def compose(signer: Signer, scheme: SignatureScheme, signed_attributes: bytes) -> bytes:
    """A version 1 SignerInfo: the signer named by issuer and serial number."""
    before, after = _around(signer.certificate, scheme)
    return der.sequence(
        before,
        b"\xa0",  # [0] IMPLICIT, but signed as SET OF (5.4)
        signed_attributes[1:],
        after,
        der.octet_string(signer.sign(signed_attributes, scheme)),
    )


@lru_cache(maxsize=1024)
def _around(certificate: Certificate, scheme: SignatureScheme) -> tuple[bytes, bytes]:
    """What stands before and after the signed attributes of every message by this signer."""
    name = designation.issuer_and_serial(certificate)
    digest = identifier.digest_identifier(scheme.digest)
    return der.integer(1) + name + digest, identifier.signature_identifier(scheme)


# Reading


def parse(element: ber.Element) -> SignerInfo:
    """Read a SignerInfo; raises Malformed."""
    fields = element.sequence()
    signed = fields.pop(3) if len(fields) > 3 and fields[3].tag == 0xA0 else None
    unsigned = fields.pop() if len(fields) == 6 and fields[5].tag == 0xA1 else None
    if len(fields) != 5:
        element.fail("not a SignerInfo")
    version, name, digest, algorithm, signature = fields
    return SignerInfo(
        version=version.integer(),
        certificate_id=designation.parse(name),
        digest_identifier=identifier.raw(digest),
        algorithm_identifier=identifier.raw(algorithm),
        signature=signature.octets(),
        signed_attributes=None if signed is None else signed.raw,
        unsigned_attributes=None if unsigned is None else unsigned.raw,
    )


# Checking


def verify(
    info: SignerInfo, subject: Subject, certificates: Sequence[Certificate]
) -> SignerVerdict:
    """Check one signature."""
    named = (one for one in certificates if info.certificate_id.names(one))
    candidates = list(islice(dict.fromkeys(named), MAXIMUM_CANDIDATES))
    certificate = candidates[0] if candidates else None
    try:
        digest = identifier.digest_name(info.digest_identifier)
        algorithm = identifier.signature_algorithm(info.algorithm_identifier)
        said = None
        if info.signed_attributes is not None:
            said = attributes.parse(info.signed_attributes)
        bound = said is not None and said.certificate_digest is not None
        if said is not None and said.certificate_digest is not None:
            certificate = _named_by(said.certificate_digest, candidates)
            candidates = [certificate] if certificate is not None else []
        reason = _reason(info, subject, algorithm, digest, said)
        if certificate is None and not reason:
            reason = "the signer's certificate is not in the message"
        if not reason:
            tried = [(_signature(info, one, algorithm, digest, subject), one) for one in candidates]
            fitting = [one for why, one in tried if not why]
            certificate = max(fitting, key=lambda one: one.not_before, default=certificate)
            reason = _ambiguity(fitting) if fitting else tried[0][0]
    except GatepostError as error:
        return SignerVerdict(intact=False, certificate=certificate, reason=str(error))
    return SignerVerdict(
        intact=not reason,
        certificate=certificate,
        digest=digest,
        scheme=algorithm.family,
        signing_time=said.signing_time if said else None,
        capabilities=said.capabilities if said else frozenset(),
        weak=algorithm.weak or not WEAK.isdisjoint((digest, algorithm.digest)),
        reason=reason,
        encryption_certificate=_preferred(said, certificates),
        bound=bound,
    )


def _ambiguity(fitting: Sequence[Certificate]) -> str:
    """Whose signature it is, is anybody's choice where certificates of several people fit.

    Two of the same person, an old one and a renewed, are his.
    """
    if len({one.emails or (one.subject,) for one in fitting}) <= 1:
        return ""
    return "certificates of several people fit the signature, and it does not say which it is by"


def _named_by(
    wanted: tuple[Digest, bytes], candidates: Iterable[Certificate]
) -> Certificate | None:
    """RFC 5035 section 5.4: a certificate that does not match makes the signature invalid."""
    name, value = wanted
    for certificate in candidates:
        if digest_of(name, certificate.der) == value:
            return certificate
    if candidates:
        raise Malformed("the signing-certificate attribute names another certificate")
    return None


def _preferred(said: Attributes | None, certificates: Iterable[Certificate]) -> Certificate | None:
    if said is None or said.key_preference is None:
        return None
    return said.key_preference.among(certificates)


def _reason(
    info: SignerInfo,
    subject: Subject,
    algorithm: SignatureAlgorithm,
    digest: Digest,
    said: Attributes | None,
) -> str:
    """Why content and attributes do not belong together, if so (RFC 5652 sections 5.6 and 11)."""
    if subject.differs:
        return "the content inside the signature differs from the content it came with"
    bare = said is None and algorithm.family in signature.PURE
    if digest not in subject.digests and not bare:
        return "the signer's digest algorithm is not among those of the message"
    if info.unsigned_attributes is not None and attributes.misplaced(info.unsigned_attributes):
        return "an attribute that must be signed stands among the unsigned ones"
    if said is None:
        if subject.content_type != content.DATA:
            return "a signature without signed attributes over content that is not id-data"
        if _looks_like_attributes(subject.start):
            return "the content is another message's signed attributes"
        return ""
    if said.content_type != subject.content_type:
        return "the content-type attribute differs from the content's type"
    if said.message_digest != subject.digests[digest]:
        return "the content was changed after signing: its digest differs"
    return ""


def _looks_like_attributes(start: bytes) -> bool:
    """Signed attributes taken for content would carry their signature over to new content.

    A signature over content alone and one over attributes differ in nothing but this.
    """
    return start[:1] == b"\x31" and der.oid(attributes.MESSAGE_DIGEST) in start


def _signature(
    info: SignerInfo,
    certificate: Certificate,
    algorithm: SignatureAlgorithm,
    digest: Digest,
    subject: Subject,
) -> str:
    """Why the signature does not verify with this certificate, if so."""
    if algorithm.family == "rsa-pss" and algorithm.digest != digest:
        return "the RSASSA-PSS digest differs from the digest algorithm"  # RFC 4056 section 3
    used = algorithm.digest or digest
    if info.signed_attributes is None:
        return _bare_signature(info, certificate, algorithm, used, subject)
    # RFC 5652 5.4: what is signed is the DER encoding with the SET OF tag.  Some signers
    # send unsorted or BER attributes and sign them as they stand: both are tried.
    as_sent = b"\x31" + info.signed_attributes[1:]
    reason = signature.check(certificate, algorithm, info.signature, as_sent, used)
    if reason and (canonical := ber.canonical(ber.parse(as_sent))) != as_sent:
        reason = signature.check(certificate, algorithm, info.signature, canonical, used)
    return reason


def _bare_signature(
    info: SignerInfo,
    certificate: Certificate,
    algorithm: SignatureAlgorithm,
    used: Digest,
    subject: Subject,
) -> str:
    """A signature over the content itself (RFC 5652 section 5.4)."""
    if algorithm.family not in signature.PURE:
        if used not in subject.digests:
            return "the signature's digest differs from the digest algorithm"
        digest = subject.digests[used]
        return signature.check(certificate, algorithm, info.signature, digest, used, hashed=True)
    # RFC 8419 3.1, RFC 9882 3.2: over the octets, in one go, and no digest algorithm matters
    if subject.about.size > MAXIMUM_BARE:
        return f"content over {MAXIMUM_BARE} octets signed without signed attributes"
    return signature.check(certificate, algorithm, info.signature, join(subject.about), used)
