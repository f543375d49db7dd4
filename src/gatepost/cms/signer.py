"""One SignerInfo: made, read, and its signature checked (RFC 5652 sections 5.3 to 5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa, utils

from gatepost.certificate import Certificate
from gatepost.cms import algorithms, attributes, ber, content, der, designation, identifier
from gatepost.cms.attributes import Attributes
from gatepost.cms.capability import Digest, SignatureScheme, Signer
from gatepost.cms.designation import CertificateId
from gatepost.cms.digest import HASHES, WEAK, digest_of, strength
from gatepost.cms.identifier import SignatureAlgorithm
from gatepost.errors import GatepostError, Malformed, Unsupported

MINIMUM_RSA = 1024  # below this a signature proves nothing (2048 is asked for by `pki`)


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
    differs: bool = False  # two contents, and they are not the same


@dataclass(frozen=True, slots=True)
class SignerVerdict:
    """What the mathematics says of one signature; trust in the certificate is `pki`'s business."""

    intact: bool  # content, attributes and signature belong together
    certificate: Certificate | None  # None: not in the message, nor known
    digest: str = ""
    scheme: str = ""  # "rsa-pkcs1", "rsa-pss", "ecdsa", "ed25519", "dsa"
    signing_time: datetime | None = None  # as claimed by the signer
    capabilities: frozenset[str] = frozenset()
    weak: bool = False
    reason: str = ""  # why it is not intact
    encryption_certificate: Certificate | None = None  # SMIMEEncryptionKeyPreference

    def __bool__(self) -> bool:
        raise TypeError("ask a SignerVerdict for `intact`; a verdict is not a truth value")


# Making


def fitting(signer: Signer, scheme: SignatureScheme | None) -> SignatureScheme:
    """The scheme wished for if the key can do it, else what its type calls for."""
    key = signer.certificate.public_key
    chosen = _chosen(key, scheme)
    if chosen is None:
        raise Unsupported(f"the key of {signer.certificate.name} cannot sign")
    if algorithms.BY_NAME[chosen.digest].create_from is None:
        raise Unsupported(f"signing with {chosen.digest} is not supported")
    return chosen


def _chosen(key: object, scheme: SignatureScheme | None) -> SignatureScheme | None:
    family = "" if scheme is None else scheme.family
    if isinstance(key, rsa.RSAPublicKey):
        fits = family in ("rsa-pkcs1", "rsa-pss")
        return scheme if fits else SignatureScheme("rsa-pkcs1", "sha256")
    if isinstance(key, ec.EllipticCurvePublicKey):
        fits = family == "ecdsa"
        return scheme if fits else SignatureScheme("ecdsa", strength(key.curve))
    if isinstance(key, ed25519.Ed25519PublicKey):
        return SignatureScheme("ed25519", "sha512")  # RFC 8419 section 3
    return None


def compose(signer: Signer, scheme: SignatureScheme, signed_attributes: bytes) -> bytes:
    """A version 1 SignerInfo: the signer named by issuer and serial number."""
    return der.sequence(
        der.integer(1),
        designation.issuer_and_serial(signer.certificate),
        identifier.digest_identifier(scheme.digest),
        b"\xa0" + signed_attributes[1:],  # [0] IMPLICIT, but signed as SET OF (5.4)
        identifier.signature_identifier(scheme),
        der.octet_string(signer.sign(signed_attributes, scheme)),
    )


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
    candidates = [one for one in certificates if info.certificate_id.names(one)]
    certificate = candidates[0] if candidates else None
    try:
        digest = identifier.digest_name(info.digest_identifier)
        algorithm = identifier.signature_algorithm(info.algorithm_identifier)
        said = None
        if info.signed_attributes is not None:
            said = attributes.parse(info.signed_attributes)
        if said is not None and said.certificate_digest is not None:
            certificate = _named_by(said.certificate_digest, candidates)
        reason = _reason(info, subject, digest, said)
        if certificate is None and not reason:
            reason = "the signer's certificate is not in the message"
        if certificate is not None and not reason:
            reason = _signature(info, certificate, algorithm, digest, subject.digests[digest])
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
    )


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


def _reason(info: SignerInfo, subject: Subject, digest: Digest, said: Attributes | None) -> str:
    """Why content and attributes do not belong together, if so (RFC 5652 sections 5.6 and 11)."""
    if subject.differs:
        return "the content inside the signature differs from the content it came with"
    if digest not in subject.digests:
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
    content_digest: bytes,
) -> str:
    """Why the signature does not verify with this certificate, if so."""
    if algorithm.family == "rsa-pss" and algorithm.digest != digest:
        return "the RSASSA-PSS digest differs from the digest algorithm"  # RFC 4056 section 3
    used = algorithm.digest or digest
    if info.signed_attributes is None:
        if used != digest:
            return "the signature's digest differs from the digest algorithm"
        return _check(certificate, algorithm, info.signature, content_digest, used, hashed=True)
    # RFC 5652 5.4: what is signed is the DER encoding with the SET OF tag.  Some signers
    # send unsorted or BER attributes and sign them as they stand: both are tried.
    as_sent = b"\x31" + info.signed_attributes[1:]
    reason = _check(certificate, algorithm, info.signature, as_sent, used, hashed=False)
    if reason and (canonical := ber.canonical(ber.parse(as_sent))) != as_sent:
        reason = _check(certificate, algorithm, info.signature, canonical, used, hashed=False)
    return reason


def _check(
    certificate: Certificate,
    algorithm: SignatureAlgorithm,
    signature: bytes,
    data: bytes,
    digest: Digest,
    *,
    hashed: bool,
) -> str:
    key, family = certificate.public_key, algorithm.family
    hash_algorithm = HASHES[digest]
    over = utils.Prehashed(hash_algorithm) if hashed else hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey) and family in ("rsa-pkcs1", "rsa-pss"):
            if key.key_size < MINIMUM_RSA:
                return f"an RSA key of {key.key_size} bits proves nothing"
            key.verify(signature, data, _padding(algorithm), over)
        elif isinstance(key, ec.EllipticCurvePublicKey) and family == "ecdsa":
            key.verify(signature, data, ec.ECDSA(over))
        elif isinstance(key, ed25519.Ed25519PublicKey) and family == "ed25519" and not hashed:
            key.verify(signature, data)
        elif isinstance(key, dsa.DSAPublicKey) and family == "dsa":
            key.verify(signature, data, over)
        else:
            return f"a {family} signature cannot be checked with this certificate's key"
    except InvalidSignature:
        return "the signature does not verify: attributes or key differ"
    except (ValueError, UnsupportedAlgorithm) as error:
        return f"the signature cannot be checked: {error}"
    return ""


def _padding(algorithm: SignatureAlgorithm) -> padding.AsymmetricPadding:
    if algorithm.family == "rsa-pkcs1":
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(HASHES[algorithm.mgf_digest]), algorithm.salt)
