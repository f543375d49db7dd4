"""Certificates with any fault a test wants: every extension can be left out or bent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, mldsa, padding, rsa, x25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gatepost.certificate import Certificate

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MAIL = (ExtendedKeyUsageOID.EMAIL_PROTECTION,)
CA_USAGE = ("key_cert_sign", "crl_sign")


@cache
def key(kind: str = "p256", name: str = "") -> Any:
    match kind:
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "mldsa65":
            return mldsa.MLDSA65PrivateKey.generate()
        case "x25519":
            return x25519.X25519PrivateKey.generate()
        case "dsa2048":
            return dsa.generate_private_key(2048)
        case "p192":
            return ec.generate_private_key(ec.SECP192R1())
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, int(kind[3:]))


def name(common: str, email: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    if email:
        attributes.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, email))
    return x509.Name(attributes)


def usage(*names: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{one: one in names for one in every})


def forge(
    subject: str = "leaf",
    issuer: str = "",
    *,
    kind: str = "p256",
    by: str = "p256",
    emails: Sequence[str] | None = ("a@example.com",),
    subject_email: str = "",
    ca: bool | None = False,
    path_length: int | None = None,
    usages: Sequence[str] | None = None,
    purposes: Sequence[x509.ObjectIdentifier] | None = MAIL,
    constraints: x509.NameConstraints | None = None,
    days: tuple[float, float] = (-10, 300),
    sha1: bool = False,
    pss: bool = False,
    serial: int | None = None,
    extra: Sequence[tuple[x509.ExtensionType, bool]] = (),
    key_name: str = "",
) -> Certificate:
    """Issued by `issuer` (whose key is `key(by, issuer)`); by itself when there is none."""
    own = key(kind, key_name or subject)
    signing = key(by, issuer) if issuer else own
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject, subject_email))
        .issuer_name(name(issuer or subject, "" if issuer else subject_email))
        .public_key(own.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if usages is not None:
        builder = builder.add_extension(usage(*usages), critical=True)
    if emails:
        alternative = x509.SubjectAlternativeName([x509.RFC822Name(one) for one in emails])
        builder = builder.add_extension(alternative, critical=False)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical)
    hashless = ed25519.Ed25519PrivateKey, mldsa.MLDSA65PrivateKey
    digest = None if isinstance(signing, hashless) else hashes.SHA256()
    scheme = padding.PSS(padding.MGF1(digest), 32) if pss and digest else None
    made = Certificate.from_x509(builder.sign(signing, digest, rsa_padding=scheme))
    # sha256WithRSAEncryption becomes sha1WithRSAEncryption: nobody signs with SHA-1 any more
    oid = bytes.fromhex("2a864886f70d0101")
    return Certificate.from_der(made.der.replace(oid + b"\x0b", oid + b"\x05")) if sha1 else made


def authority(subject: str, issuer: str = "", **changes: Any) -> Certificate:
    """A CA; what is given replaces the usual."""
    usual: dict[str, Any] = {"emails": None, "ca": True, "usages": CA_USAGE, "purposes": None}
    return forge(subject, issuer, **(usual | changes))
