"""Certificates, lists, answers and key files to begin with, the same in every process.

What one authority signed (`people`), so that a reader can be asked whether it believes anything else.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import cast
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID as Access
from tests.fuzz import people

from gatepost.certificate import Certificate
from gatepost.pki import p12, pem
from gatepost.pki.crl import Crl

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FOREVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
POINT = [x509.UniformResourceIdentifier("http://a.example/b.crl")]
Extension = tuple[x509.ExtensionType, bool]


@dataclass(frozen=True, slots=True)
class Files:
    """Octets of files by what is in them."""

    certificates: Sequence[bytes]
    keys: Sequence[bytes]
    bundles: Sequence[bytes]
    archives: Sequence[bytes]


@cache
def everybody() -> tuple[Certificate, ...]:
    """The authority and whom it has certified."""
    kinds = ("rsa2048", "p256", "ed25519", "x25519")
    made = (people.person("bob@example.net", kind).certificate for kind in kinds)
    return (people.authority().certificate, *made)


def _key() -> ed25519.Ed25519PrivateKey:
    return cast("ed25519.Ed25519PrivateKey", people.authority().key)


def odd() -> list[bytes]:
    """Certificates with everything that a path asks for, and not quite DER."""
    name = x509.Name.from_rfc4514_string("CN=Odd,1.2.840.113549.1.9.1=odd@example.net")
    point = x509.DistributionPoint(POINT, None, None, [x509.DirectoryName(name)])
    place = x509.AccessDescription(Access.OCSP, x509.UniformResourceIdentifier("http://a.example/"))
    issuer = x509.AccessDescription(Access.CA_ISSUERS, POINT[0])
    policy = x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)
    builder = (
        x509.CertificateBuilder(name, name, _key().public_key(), 99, NOW - DAY, FOREVER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.CRLDistributionPoints([point]), critical=False)
        .add_extension(x509.FreshestCRL([point]), critical=False)
        .add_extension(x509.AuthorityInformationAccess([place, issuer]), critical=False)
        .add_extension(x509.CertificatePolicies([policy]), critical=False)
        .add_extension(x509.PolicyConstraints(1, 1), critical=True)
        .add_extension(x509.InhibitAnyPolicy(1), critical=True)
        .add_extension(
            x509.NameConstraints([x509.RFC822Name(".example.net")], [x509.DNSName("a.example")]),
            critical=True,
        )
        .add_extension(x509.SubjectAlternativeName(_names(name)), critical=False)
    )
    made = builder.sign(_key(), None).public_bytes(Encoding.DER)
    # `critical FALSE` spelled out, and Latin-1 in a string that is ASCII's
    spelled = made.replace(b"\x06\x03\x55\x1d\x1f", b"\x06\x03\x55\x1d\x1f\x01\x01\x00")
    return [made, spelled, made.replace(b"Odd", b"\xd6dd")]


def _names(name: x509.Name) -> list[x509.GeneralName]:
    return [
        x509.RFC822Name("odd@example.net"),
        x509.DNSName("*.example.net"),
        x509.DirectoryName(name),
        x509.UniformResourceIdentifier("https://a.example/"),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c\x03a@b"),
    ]


@cache
def lists() -> tuple[Crl, ...]:
    """Lists of our authority: plain, of a point, delta and indirect, for ever."""
    scope = x509.IssuingDistributionPoint(POINT, None, True, False, None, False, False)
    reasons = frozenset({x509.ReasonFlags.key_compromise})
    partly = x509.IssuingDistributionPoint(None, None, False, False, reasons, True, False)
    fresh = x509.FreshestCRL([x509.DistributionPoint(POINT, None, None, None)])
    return (
        _listed((), NOW + DAY),
        _listed(((scope, True),), NOW + DAY),
        _listed(((partly, True), (x509.DeltaCRLIndicator(1), True)), NOW + DAY),
        _listed(((fresh, False),), FOREVER),
    )


def _listed(extra: Iterable[Extension], until: datetime) -> Crl:
    name = people.authority().certificate.x509.subject
    builder = x509.CertificateRevocationListBuilder(name, NOW - DAY, until)
    builder = builder.add_extension(x509.CRLNumber(2), critical=False)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    for serial in (7, everybody()[2].serial):
        one = x509.RevokedCertificateBuilder(serial, NOW - DAY)
        one = one.add_extension(x509.CRLReason(x509.ReasonFlags.superseded), critical=False)
        one = one.add_extension(x509.CertificateIssuer([x509.DirectoryName(name)]), critical=True)
        builder = builder.add_revoked_certificate(one.build())
    return Crl.from_der(builder.sign(_key(), None).public_bytes(Encoding.DER))


@cache
def answered() -> tuple[bytes, ...]:
    """Answers of our authority: good, revoked, for ever; and a refusal."""
    root = everybody()[0].x509
    made = [ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)]
    for status, until in (
        (ocsp.OCSPCertStatus.GOOD, NOW + DAY),
        (ocsp.OCSPCertStatus.REVOKED, FOREVER),
    ):
        is_revoked = status is ocsp.OCSPCertStatus.REVOKED
        builder = ocsp.OCSPResponseBuilder().add_response(
            everybody()[2].x509,
            root,
            SHA1(),
            status,
            NOW - DAY,
            until,
            NOW - DAY if is_revoked else None,
            x509.ReasonFlags.key_compromise if is_revoked else None,
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, root).certificates([root])
        made.append(builder.sign(_key(), None))
    return tuple(one.public_bytes(Encoding.DER) for one in made)


def files(password: str) -> Files:
    """Files of few rounds; keys and salts differ from run to run, the corpus does not."""
    users = [people.person("bob@example.net", kind) for kind in ("p256", "ed25519", "x25519")]
    some = [one.x509 for one in everybody()[:2]]
    keys = [one for user in users for one in (user.key_der, user.key_pem)]
    keys += [pem.write_key(users[0].key, password)]
    with mock.patch.object(p12, "ROUNDS", 1000):
        bundles = [
            p12.write(p12.Bundle(user.key, user.certificate, everybody()[:1]), password)
            for user in users[:2]
        ]
    certificates = [
        "".join(one.pem for one in everybody()[:2]).encode(),
        pkcs7.serialize_certificates(some, Encoding.DER),
        pkcs7.serialize_certificates(some, Encoding.PEM),
    ]
    return Files(
        certificates,
        keys,
        bundles,
        [_zipped(certificates[:1], method) for method in (0, 8, 12, 14)],
    )


def _zipped(inside: Iterable[bytes], method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for number, octets in enumerate(inside):
            archive.writestr(zipfile.ZipInfo(f"{number}.pem"), octets, method)
    return file.getvalue()
