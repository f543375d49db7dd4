"""A request for a certificate (PKCS #10, RFC 2986), signed by the key it is for.

It asks for what we would put into the certificate ourselves (RFC 8550, RFC 5280); the
authority decides.  The key may be held in a token: it signs through cryptography's interface.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gatepost.enrol.local import DOMAIN_LOCAL
from gatepost.enrol.profile import MAXIMUM_NAME
from gatepost.enrol.source import Purpose
from gatepost.errors import Unsupported
from gatepost.vault.custody import PrivateKey


def make(key: PrivateKey, address: str, purpose: Purpose) -> bytes:
    """The request in DER; for `@domain` under the name of RFC 3183 section 3.3."""
    name = f"{DOMAIN_LOCAL}{address}" if address.startswith("@") else address
    if not name.isascii():
        raise Unsupported(f"{name}: a certificate cannot carry a non-ASCII local-part yet")
    subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if len(name) <= MAXIMUM_NAME else []
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(subject))
        .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(name)]), critical=not subject)
        .add_extension(_usage(purpose, key), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
        )
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def _usage(purpose: Purpose, key: PrivateKey) -> x509.KeyUsage:
    encrypts, is_rsa = purpose != "sign", isinstance(key, rsa.RSAPrivateKey)
    return x509.KeyUsage(
        digital_signature=purpose != "encrypt",
        content_commitment=False,
        key_encipherment=encrypts and is_rsa,
        data_encipherment=False,
        key_agreement=encrypts and not is_rsa,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
