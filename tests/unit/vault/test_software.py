"""Keys in memory: each kind does what it can, and refuses the rest without a word of how."""

from __future__ import annotations

from typing import get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem, x448, x25519
from tests.pki_builder import KeyKind, user

from gatepost.cms.capability import Decapsulator, KeyTransport, SignatureFamily, SignatureScheme
from gatepost.errors import DecryptionFailed, Unsupported
from gatepost.vault.software import SoftwareDecryptor, SoftwareSigner

SIGNS: dict[KeyKind, set[str]] = {
    "rsa2048": {"rsa-pkcs1", "rsa-pss"},
    "p256": {"ecdsa"},
    "ed25519": {"ed25519"},
    "ml-dsa-44": {"ml-dsa-44"},
    "ml-dsa-65": {"ml-dsa-65"},
    "ml-dsa-87": {"ml-dsa-87"},
    "x25519": set(),
    "ml-kem-768": set(),
}


def signer(kind: KeyKind) -> SoftwareSigner:
    """A key that may sign."""
    one = user("alice@example.com", kind)
    return SoftwareSigner(one.certificate, one.chain, one.key)


def decryptor(kind: KeyKind) -> SoftwareDecryptor:
    """A key that may decrypt."""
    one = user("alice@example.com", kind)
    return SoftwareDecryptor(one.certificate, one.key)


@pytest.mark.parametrize("kind", SIGNS)
@pytest.mark.parametrize("family", get_args(SignatureFamily))
def test_what_signs(kind: KeyKind, family: SignatureFamily) -> None:
    """A scheme taken for another would be a signature nobody can verify."""
    one, scheme = signer(kind), SignatureScheme(family, "sha512")
    if family in SIGNS[kind]:
        assert one.sign(b"data", scheme)
        return
    with pytest.raises(Unsupported):
        one.sign(b"data", scheme)


@pytest.mark.parametrize("digest", ["md5", "sha1", "shake256"])
def test_digests_nobody_signs_with(digest: str) -> None:
    """What is read only must not be written by mistake."""
    scheme = SignatureScheme("rsa-pkcs1", digest)  # type: ignore[arg-type]  # the point of it
    with pytest.raises(Unsupported):
        signer("rsa2048").sign(b"data", scheme)


def test_agreement_on_montgomery_curves() -> None:
    """RFC 8418: both sides come to the same secret; nonsense comes to nothing."""
    own = x25519.X25519PrivateKey.generate()
    public = user("alice@example.com", "x25519").certificate.public_key
    assert isinstance(public, x25519.X25519PublicKey)
    sent = own.public_key().public_bytes_raw()
    assert decryptor("x25519").agree(sent) == own.exchange(public)
    other = x448.X448PrivateKey.generate()
    wide = user("alice@example.com", "x448").certificate.public_key
    assert isinstance(wide, x448.X448PublicKey)
    assert decryptor("x448").agree(other.public_key().public_bytes_raw()) == other.exchange(wide)
    for kind in SIGNS:
        for key in (b"", bytes(32), bytes(56), b"\x04" + bytes(64)):
            with pytest.raises(DecryptionFailed):
                decryptor(kind).agree(key)


def test_decapsulation() -> None:
    """RFC 9629; a ciphertext that was changed gives another secret, as FIPS 203 wants it."""
    public = user("alice@example.com", "ml-kem-768").certificate.public_key
    assert isinstance(public, mlkem.MLKEM768PublicKey)
    secret, ciphertext = public.encapsulate()
    one = decryptor("ml-kem-768")
    assert isinstance(one, Decapsulator)
    assert one.decapsulate(ciphertext) == secret
    changed = bytes((ciphertext[0] ^ 1,)) + ciphertext[1:]
    assert one.decapsulate(changed) != secret
    with pytest.raises(DecryptionFailed):
        one.decapsulate(ciphertext[1:])
    with pytest.raises(DecryptionFailed):
        decryptor("rsa2048").decapsulate(ciphertext)


@pytest.mark.parametrize("kind", ["p256", "x25519", "ml-kem-768", "ed25519"])
def test_only_rsa_unwraps(kind: KeyKind) -> None:
    """Key transport to another key is a message made to confuse."""
    with pytest.raises(DecryptionFailed):
        decryptor(kind).unwrap(b"x" * 256, KeyTransport("rsa-oaep"))
