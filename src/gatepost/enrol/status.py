"""What our authorities say of their certificates: lists (RFC 5280 section 5) and OCSP (RFC 6960).

A responder's key is made in each process, certified for some days and never stored: whoever
steals it steals little.  The root has no responder; its list may be signed years ahead.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gatepost.certificate import Certificate
from gatepost.enrol.profile import BACKDATED, Issuer
from gatepost.store.ledger import Ledger, PublishedList, Revoked
from gatepost.vault.custody import PrivateKey

LIST_LIFE = timedelta(days=7)
LIST_AGE = timedelta(days=1)  # then a new one is signed
ROOT_LIST_LIFE = timedelta(days=400)
ROOT_LIST_AGE = timedelta(days=30)
ANSWER_LIFE = timedelta(days=1)
RESPONDER_LIFE = timedelta(days=7)
RESPONDER_AGE = timedelta(days=3)
MAXIMUM_QUESTION = 4096  # octets
MAXIMUM_NONCE = 128  # RFC 9654 section 2.1
FLAGS = {one.value: one for one in x509.ReasonFlags}

Lend = Callable[[Certificate], Issuer]  # an authority with its key, for one signature
_Request = ocsp.OCSPRequest


def signed_list(
    issuer: Issuer, number: int, entries: tuple[Revoked, ...], now: datetime, life: timedelta
) -> PublishedList:
    """A full list, to the second as the certificates it stands beside."""
    now = now.replace(microsecond=0)
    end = min(now + life, issuer.certificate.not_after)
    builder = (
        # Given at once: adding one by one copies the list each time, which is quadratic.
        x509.CertificateRevocationListBuilder(revoked_certificates=[_entry(one) for one in entries])
        .issuer_name(issuer.certificate.x509.subject)
        .last_update(now)
        .next_update(end)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    made = builder.sign(issuer.key, hashes.SHA256())
    return PublishedList(number, now, end, made.public_bytes(Encoding.DER))


def _entry(one: Revoked) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(one.serial, one.at)
    flag = FLAGS[one.reason]
    if flag is not x509.ReasonFlags.unspecified:  # section 5.3.1: better left out
        builder = builder.add_extension(x509.CRLReason(flag), critical=False)
    return builder.build()


@dataclass(frozen=True, slots=True)
class _Responder:
    certificate: Certificate
    key: PrivateKey
    until: datetime  # the next one follows


@dataclass(frozen=True, slots=True)
class Responder:
    """Answers for the authorities given; one for each process."""

    ledger: Ledger
    make: Callable[[], PrivateKey]  # a new key for a responder's few days
    _made: dict[Certificate, _Responder] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def answer(
        self, question: bytes, issuers: Iterable[Certificate], lend: Lend, now: datetime
    ) -> bytes:
        """The DER of a response to the DER of a request; never raises for what it says."""
        now = now.replace(microsecond=0)
        try:
            asked = ocsp.load_der_ocsp_request(question[: MAXIMUM_QUESTION + 1])
            nonce = _nonce(asked)
            issuer = next((one for one in issuers if _is_about(asked, one)), None)
        except (ValueError, TypeError, NotImplementedError, x509.DuplicateExtension):
            return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
        except UnsupportedAlgorithm:  # a digest that is not known names nobody
            issuer = None
        if issuer is None:  # section 2.3: not one whose certificates we speak of
            return _refusal(ocsp.OCSPResponseStatus.UNAUTHORIZED)
        return self._said(asked, nonce, issuer, self._responder(issuer, lend, now), now)

    def _responder(self, issuer: Certificate, lend: Lend, now: datetime) -> _Responder:
        with self._lock:
            found = self._made.get(issuer)
            if found is None or not found.certificate.not_before <= now < found.until:
                found = self._made[issuer] = _certified(lend(issuer), self.make(), now)
            return found

    def _said(
        self,
        asked: _Request,
        nonce: x509.OCSPNonce | None,
        issuer: Certificate,
        responder: _Responder,
        now: datetime,
    ) -> bytes:
        taken = self.ledger.find(issuer, asked.serial_number)
        if taken is not None:
            status = ocsp.OCSPCertStatus.REVOKED
        elif self.ledger.issued(issuer, asked.serial_number) is not None:
            status = ocsp.OCSPCertStatus.GOOD
        else:
            status = ocsp.OCSPCertStatus.UNKNOWN
        flag = FLAGS[taken.reason] if taken else None
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                asked.issuer_name_hash,
                asked.issuer_key_hash,
                asked.serial_number,
                asked.hash_algorithm,
                status,
                now,
                min(now + ANSWER_LIFE, responder.certificate.not_after),
                taken.at if taken else None,
                None if flag is x509.ReasonFlags.unspecified else flag,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, responder.certificate.x509)
            .certificates([responder.certificate.x509])
        )
        if nonce is not None:
            builder = builder.add_extension(nonce, critical=False)
        return builder.sign(responder.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _certified(issuer: Issuer, key: PrivateKey, now: datetime) -> _Responder:
    """RFC 6960 section 4.2.2.2: a delegate of the authority, for whom nobody need be asked."""
    end = min(now + RESPONDER_LIFE, issuer.certificate.not_after)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "OCSP responder")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.x509.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATED, issuer.certificate.not_before))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNS, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .add_extension(x509.OCSPNoCheck(), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issued_by(issuer.key), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    return _Responder(Certificate.from_x509(made), key, min(now + RESPONDER_AGE, end))


def _issued_by(key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _is_about(asked: _Request, issuer: Certificate) -> bool:
    """RFC 6960 section 4.1.1: by the hashes of the issuer's name and key."""
    for expected, octets in (
        (asked.issuer_name_hash, issuer.subject),
        (asked.issuer_key_hash, _key_bits(issuer)),
    ):
        digest = hashes.Hash(asked.hash_algorithm)
        digest.update(octets)
        if digest.finalize() != expected:
            return False
    return True


def _key_bits(issuer: Certificate) -> bytes:
    key = issuer.x509.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)


def _nonce(asked: _Request) -> x509.OCSPNonce | None:
    """RFC 9654 section 2.1: one that is too long is left out."""
    for one in asked.extensions:
        if isinstance(one.value, x509.OCSPNonce) and len(one.value.nonce) <= MAXIMUM_NONCE:
            return one.value
    return None


def _refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
