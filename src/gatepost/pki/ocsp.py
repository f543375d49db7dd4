"""Answers of OCSP responders, read and checked (RFC 6960 sections 3.2 and 4.2.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from gatepost.certificate import Certificate
from gatepost.errors import Malformed
from gatepost.pki.crl import UNREADABLE
from gatepost.pki.der import inside, items
from gatepost.pki.signature import Algorithm, made_by, signed_by
from gatepost.pki.strength import WEAK_DIGESTS, key_weakness, signature_weakness
from gatepost.pki.usable import date_objection

MAXIMUM_SIZE = 1024 * 1024
MAXIMUM_ANSWERS = 100
MAXIMUM_SIGNERS = 4
_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string
_STATUSES: dict[ocsp.OCSPCertStatus, Literal["good", "revoked", "unknown"]] = {
    ocsp.OCSPCertStatus.GOOD: "good",
    ocsp.OCSPCertStatus.REVOKED: "revoked",
    ocsp.OCSPCertStatus.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True)
class Single:
    """What an answer says of one certificate, named as in RFC 6960 section 4.1.1."""

    serial: int
    issuer: tuple[str, bytes, bytes]  # digest, and with it the hashes of the name and the key
    status: Literal["good", "revoked", "unknown"]
    this_update: datetime
    next_update: datetime | None
    reason: str = ""
    when: datetime | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A successful response with all it says."""

    der: bytes = field(repr=False)
    response: ocsp.OCSPResponse = field(repr=False)
    singles: tuple[Single, ...]
    certificates: tuple[Certificate, ...] = field(repr=False)

    @classmethod
    def from_der(cls, der: bytes) -> Answer:
        """Parse DER octets; raises Malformed, also for an error in place of an answer."""
        if len(der) > MAXIMUM_SIZE:
            raise Malformed(f"OCSP response of {len(der)} octets is over {MAXIMUM_SIZE}")
        try:
            return _read(der, ocsp.load_der_ocsp_response(der))
        except UNREADABLE as error:
            raise Malformed(f"not an OCSP response: {error}") from error

    @property
    def digest(self) -> str:
        """SHA-256 of its octets."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def serials(self) -> frozenset[int]:
        """Of the certificates it is about."""
        return frozenset(one.serial for one in self.singles)

    @property
    def spans(self) -> Iterator[tuple[datetime, datetime | None]]:
        """When each statement counts."""
        return ((one.this_update, one.next_update) for one in self.singles)

    @property
    def produced(self) -> datetime:
        """When the responder signed it."""
        return self.response.produced_at_utc

    def about(self, certificate: Certificate, issuer: Certificate) -> Single | None:
        """RFC 6960 section 4.1.1: the issuer is named by the hashes of its name and key."""
        for one in self.singles:
            if one.serial == certificate.serial and _names(one, certificate, issuer):
                return one
        return None

    def signers(self, issuer: Certificate, moment: datetime) -> Iterator[Certificate]:
        """Who may have signed it: the issuer, and those it certified to (section 4.2.2.2)."""
        if self._is_responder(issuer):
            yield issuer
        for one in self.certificates:
            if one == issuer or not self._is_responder(one) or not _is_delegate(one, moment):
                continue
            if one.folded_issuer == issuer.folded_subject and signed_by(one, issuer.public_key):
                yield one

    def is_signed_by(self, signer: Certificate) -> bool:
        """Whether this key made the signature."""
        response = self.response
        try:
            digest = response.signature_hash_algorithm
        except Exception:  # noqa: BLE001  an algorithm that is not known signs nothing
            return False
        if digest is not None and digest.name in WEAK_DIGESTS:
            return False
        oid = response.signature_algorithm_oid.dotted_string
        octets = response.tbs_response_bytes
        return made_by(signer.public_key, response.signature, octets, Algorithm(oid, digest))

    @staticmethod
    def is_exempt(signer: Certificate) -> bool:
        """Section 4.2.2.2.1: its issuer vouches for it as long as it lasts."""
        return any(isinstance(one.value, x509.OCSPNoCheck) for one in signer.x509.extensions)

    def _is_responder(self, one: Certificate) -> bool:
        named = self.response.responder_name
        if named is not None:
            return named == one.x509.subject
        # SHA-1 only finds the certificate here; the signature decides
        return self.response.responder_key_hash == hashlib.sha1(_key_bits(one)).digest()  # noqa: S324


def _read(der: bytes, response: ocsp.OCSPResponse) -> Answer:
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Malformed(f"the OCSP responder answered {response.response_status.name.lower()}")
    singles: list[Single] = []
    for one in response.responses:
        if len(singles) >= MAXIMUM_ANSWERS:
            raise Malformed(f"an OCSP response has more than {MAXIMUM_ANSWERS} answers")
        singles.append(_single(one))
    if any(one.critical for one in response.extensions):
        raise Malformed("an OCSP response has a critical extension that is not understood")
    _ = response.responder_name, response.produced_at_utc  # unreadable ones are told here
    signers = response.certificates[:MAXIMUM_SIGNERS]
    found = tuple(Certificate.from_der(one.public_bytes(Encoding.DER)) for one in signers)
    return Answer(der, response, tuple(singles), found)


def _single(one: ocsp.OCSPSingleResponse) -> Single:
    return Single(
        serial=one.serial_number,
        issuer=(one.hash_algorithm.name, one.issuer_name_hash, one.issuer_key_hash),
        status=_STATUSES[one.certificate_status],
        this_update=one.this_update_utc,
        next_update=one.next_update_utc,
        reason=one.revocation_reason.value if one.revocation_reason else "unspecified",
        when=one.revocation_time_utc,
    )


def _names(one: Single, certificate: Certificate, issuer: Certificate) -> bool:
    digest, name, key = one.issuer
    for expected, octets in ((name, certificate.issuer), (key, _key_bits(issuer))):
        if hashlib.new(digest, octets, usedforsecurity=False).digest() != expected:
            return False
    return True


def _key_bits(certificate: Certificate) -> bytes:
    """The content of subjectPublicKey without its count of unused bits."""
    tbs = next(items(certificate.der))
    key = [one for one in items(tbs) if one[0] != 0xA0][5]
    bits = list(items(key))[1]
    return bits[inside(bits, 0) + 1 :]


def _is_delegate(one: Certificate, moment: datetime) -> bool:
    return (
        one.extended_key_usage is not None
        and _SIGNING in one.extended_key_usage
        and not date_objection(one, moment)
        and not key_weakness(one)
        and not signature_weakness(one)
    )
