"""Revocation lists and OCSP answers with any fault a test wants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from tests.unit.pki.forge import DAY, NOW, key, name

from gatepost.certificate import Certificate
from gatepost.pki.crl import Crl
from gatepost.pki.ocsp import Answer

Extension = tuple[x509.ExtensionType, bool]


def revoked(
    serial: int,
    reason: x509.ReasonFlags | None = x509.ReasonFlags.key_compromise,
    extra: Iterable[Extension] = (),
) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    return builder.build()


def listed(
    issuer: str,
    entries: Iterable[x509.RevokedCertificate] = (),
    *,
    number: int | None = 1,
    days: tuple[float, float] = (-1, 1),
    extra: Iterable[Extension] = (),
    signing: Any = None,
) -> Crl:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name(issuer))
        .last_update(NOW + days[0] * DAY)
        .next_update(NOW + days[1] * DAY)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    for entry in entries:
        builder = builder.add_revoked_certificate(entry)
    made = builder.sign(signing or key("p256", issuer), hashes.SHA256())
    return Crl.from_der(made.public_bytes(Encoding.DER))


def scope(**changes: Any) -> Extension:
    usual: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(usual | changes)), True


def answered(
    certificate: Certificate,
    issuer: Certificate,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    *,
    responder: Certificate | None = None,
    until: datetime | None = NOW + DAY,
    delegates: Sequence[Certificate] = (),
) -> Answer:
    bad = status is ocsp.OCSPCertStatus.REVOKED
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=certificate.x509,
            issuer=issuer.x509,
            algorithm=hashes.SHA256(),
            cert_status=status,
            this_update=NOW - DAY,
            next_update=until,
            revocation_time=NOW - DAY if bad else None,
            revocation_reason=x509.ReasonFlags.key_compromise if bad else None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, (responder or issuer).x509)
    )
    if delegates:
        builder = builder.certificates([one.x509 for one in delegates])
    made = builder.sign(key("p256", (responder or issuer).name), hashes.SHA256())
    return Answer.from_der(made.public_bytes(Encoding.DER))
