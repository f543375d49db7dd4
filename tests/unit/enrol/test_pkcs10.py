"""Requests for certificates."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from gatepost.enrol import pkcs10
from gatepost.enrol.source import Purpose
from gatepost.errors import Unsupported
from gatepost.vault.custody import generate
from gatepost.vault.held import Held, HeldEc
from gatepost.vault.token import Algorithm


@pytest.mark.parametrize(
    ("algorithm", "purpose", "bits"),
    [
        ("p256", "both", {"digital_signature", "key_agreement"}),
        ("rsa2048", "encrypt", {"key_encipherment"}),
        ("rsa2048", "sign", {"digital_signature"}),
    ],
)
def test_it_asks_for_what_the_key_is_for(
    algorithm: Algorithm, purpose: Purpose, bits: set[str]
) -> None:
    """The authority would issue a certificate that nobody can encrypt to."""
    key = generate(algorithm)
    found = x509.load_der_x509_csr(pkcs10.make(key, "alice@example.com", purpose))
    assert found.is_signature_valid
    assert found.public_key() == key.public_key()
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    names = ("digital_signature", "key_encipherment", "key_agreement", "content_commitment")
    assert {one for one in names if getattr(usage, one)} == bits
    names_ = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names_.get_values_for_type(x509.RFC822Name) == ["alice@example.com"]


def test_domains_and_long_addresses() -> None:
    """RFC 3183 section 3.3 fixes a domain's name; a common name has at most 64 characters."""
    key = generate("p256")
    found = x509.load_der_x509_csr(pkcs10.make(key, "@example.com", "encrypt"))
    [name] = found.subject
    assert name.value == "domain-confidentiality-authority@example.com"
    long = x509.load_der_x509_csr(pkcs10.make(key, f"{'a' * 60}@example.com", "sign"))
    assert list(long.subject) == []
    assert long.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    with pytest.raises(Unsupported):
        pkcs10.make(key, "jürgen@example.com", "sign")


def test_a_key_in_a_token_signs_for_itself() -> None:
    """A company whose keys live in a token could only use the embedded CA."""
    key = generate("p256")

    class Holder:
        def sign(self, data: bytes, scheme: object) -> bytes:
            assert "ecdsa" in repr(scheme)
            return key.sign(data, ec.ECDSA(SHA256()))  # type: ignore[call-arg,arg-type]  # p256 it is

    held = HeldEc(Held(key.public_key(), "id", b"", Holder()), key.public_key())  # type: ignore[arg-type]  # the rest is not asked
    found = x509.load_der_x509_csr(pkcs10.make(held, "alice@example.com", "both"))
    assert found.is_signature_valid
