"""What stands in the certificates we issue.

The CA/Browser Forum S/MIME Baseline Requirements' mailbox-validated profile (section 7.1.2),
without policy OIDs, which only an audited CA may assert, and with revocation pointers only
where `[public] url` says that somebody serves what they point to.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gatepost.certificate import Certificate
from gatepost.enrol.pointer import Pointers
from gatepost.vault.custody import PrivateKey
from gatepost.vault.token import Algorithm

Kind = Literal["sign", "encrypt", "both"]

ROOT_LIFE = timedelta(days=3652)
ISSUING_LIFE = timedelta(days=1826)
USER_LIFE = timedelta(days=730)  # section 6.3.2 allows 825
BACKDATED = timedelta(hours=1)  # clocks of correspondents run slow
NOWHERE = Pointers()
MAXIMUM_NAME = 64  # RFC 5280 appendix A: ub-common-name, ub-organization-name


@dataclass(frozen=True, slots=True)
class Issuer:
    """A CA's certificate and key, for as long as one signature takes."""

    certificate: Certificate
    key: PrivateKey

    def __repr__(self) -> str:
        return f"Issuer({self.certificate.name!r})"


def root(company: str, key: PrivateKey, now: datetime) -> Certificate:
    """The self-signed anchor partners are given."""
    name = _name(f"{company} Mail Root CA", company)
    builder = _begin(name, name, key, key, (now - BACKDATED, now + ROOT_LIFE))
    return _finish(_authority(builder, None), key)


def issuing(
    company: str,
    key: PrivateKey,
    above: Issuer,
    now: datetime,
    domains: frozenset[str] | None,
    *,
    pointers: Pointers = NOWHERE,
) -> Certificate:
    """The CA that issues to people and nothing below it; constrained to domains if given."""
    name = _name(f"{company} Mail Issuing CA {now:%Y}", company)
    life = _within(above, now - BACKDATED, now + ISSUING_LIFE)
    builder = _authority(_begin(name, above.certificate.x509.subject, key, above.key, life), 0)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
    )
    if domains:
        # RFC 5280 section 4.2.1.10: a host constrains to every mailbox there, and only there.
        trees = [x509.RFC822Name(domain) for domain in sorted(domains)]
        builder = builder.add_extension(x509.NameConstraints(trees, None), critical=True)
    return _finish(pointers.added(builder, above.certificate, ocsp=False), above.key)


def user(
    address: str,
    kind: Kind,
    key: PrivateKey,
    issuer: Issuer,
    now: datetime,
    *,
    pointers: Pointers = NOWHERE,
) -> Certificate:
    """One mailbox's certificate: to sign with, to be encrypted to, or both with one key."""
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, address)] if len(address) <= MAXIMUM_NAME else []
    )
    life = _within(issuer, now - BACKDATED, now + USER_LIFE)
    builder = (
        _begin(name, issuer.certificate.x509.subject, key, issuer.key, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(kind, key), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .add_extension(
            # RFC 5280 section 4.2.1.6: critical when the subject is empty
            x509.SubjectAlternativeName([x509.RFC822Name(address)]),
            critical=not list(name),
        )
    )
    return _finish(pointers.added(builder, issuer.certificate, ocsp=True), issuer.key)


def algorithm_of(key: PrivateKey) -> Algorithm:
    """The setting that makes such a key."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return "p256"
    return "rsa2048" if key.key_size == 2048 else "rsa3072"


def company_of(authority: Certificate) -> str:
    """The company a CA certificate was made for."""
    found = authority.x509.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value)


def is_constrained(authority: Certificate) -> bool:
    """Whether a CA is bound to domains."""
    try:
        authority.x509.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return False
    return True


def _name(common: str, organization: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:MAXIMUM_NAME]),
            x509.NameAttribute(NameOID.COMMON_NAME, common[-MAXIMUM_NAME:]),
        ]
    )


def _within(issuer: Issuer, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Clip to the issuer's life: a certificate that outlives it looks broken one day."""
    return max(start, issuer.certificate.not_before), min(end, issuer.certificate.not_after)


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    issuer_key: PrivateKey,
    life: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())  # 159 random bits; section 7.1 wants 64
        .not_valid_before(life[0])
        .not_valid_after(life[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )


def _authority(
    builder: x509.CertificateBuilder, path_length: int | None
) -> x509.CertificateBuilder:
    usage = _bits("key_cert_sign", "crl_sign")
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return builder.add_extension(constraints, critical=True).add_extension(usage, critical=True)


def _usage(kind: Kind, key: PrivateKey) -> x509.KeyUsage:
    """Section 7.1.2.3 e: RSA keys encipher, curve keys agree; a key may do both.

    No nonRepudiation: the gateway signs for the author, who never saw a PIN dialogue.
    """
    opens = "key_encipherment" if isinstance(key, rsa.RSAPrivateKey) else "key_agreement"
    bits = {"sign": ("digital_signature",), "encrypt": (opens,)}
    return _bits(*bits.get(kind, ("digital_signature", opens)))


def _bits(*names: str) -> x509.KeyUsage:
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
    return x509.KeyUsage(**{name: name in names for name in every})


def _finish(builder: x509.CertificateBuilder, key: PrivateKey) -> Certificate:
    return Certificate.from_x509(builder.sign(key, hashes.SHA256()))
