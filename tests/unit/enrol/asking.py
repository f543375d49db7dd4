"""Requests for certificates as the vault makes them, for tests of those who carry them."""

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from gatepost.certificate import Certificate
from gatepost.enrol.source import Purpose, Wanted

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
_BITS = {
    "sign": ("digital_signature",),
    "encrypt": ("key_agreement",),
    "both": ("digital_signature", "key_agreement"),
}
_EVERY = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


def usage(purpose: Purpose) -> x509.KeyUsage:
    return x509.KeyUsage(**{one: one in _BITS[purpose] for one in _EVERY})


def request(address: str, purpose: Purpose, key: PrivateKey, **names: Any) -> bytes:
    mailbox = names.get("mailbox", address)
    builder = x509.CertificateSigningRequestBuilder(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    ).add_extension(usage(purpose), critical=True)
    if mailbox:
        alternatives = x509.SubjectAlternativeName([x509.RFC822Name(mailbox)])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def wanted(
    address: str = "alice@example.com",
    purpose: Purpose = "sign",
    key: PrivateKey = KEY,
    *,
    replacing: Certificate | None = None,
    **names: Any,
) -> Wanted:
    return Wanted(address, purpose, request(address, purpose, key, **names), replacing)
