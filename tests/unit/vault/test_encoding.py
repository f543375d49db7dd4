"""Paddings undone outside the token: as OpenSSL does it, and without an oracle."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.pki_builder import private_key

from gatepost.cms.capability import Digest
from gatepost.vault import encoding

KEY = private_key("rsa2048", "encoding")
assert isinstance(KEY, rsa.RSAPrivateKey)
PUBLIC = KEY.public_key()
assert isinstance(PUBLIC, rsa.RSAPublicKey)
N = PUBLIC.public_numbers()
D = KEY.private_numbers().d
SECRET = bytes(32)
ALGORITHMS: dict[Digest, hashes.HashAlgorithm] = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}


def bare(ciphertext: bytes) -> bytes:
    return pow(int.from_bytes(ciphertext, "big"), D, N.n).to_bytes(256, "big")


@pytest.mark.parametrize("message", [b"", b"k" * 16, b"\0" * 32, b"x" * 245])
def test_v15_gives_what_was_encrypted(message: bytes) -> None:
    """Mail to a company with a token could not be read."""
    ciphertext = PUBLIC.encrypt(message, padding.PKCS1v15())
    assert encoding.v15(bare(ciphertext), SECRET, ciphertext) == message


@pytest.mark.parametrize(
    "block",
    [
        b"\1\2" + b"\xff" * 222 + b"\0" + b"k" * 31,  # does not begin with zero
        b"\0\1" + b"\xff" * 222 + b"\0" + b"k" * 31,  # a signature's block
        b"\0\2" + b"\xff" * 7 + b"\0" + b"k" * 246,  # seven octets of padding
        b"\0\2" + b"\xff" * 254,  # no end of the padding
    ],
)
def test_v15_rejects_implicitly(block: bytes) -> None:
    """A sender could ask for a million decryptions and read somebody's mail (Bleichenbacher)."""
    made = encoding.v15(block, SECRET, b"ciphertext")
    assert len(made) <= 245
    assert made == encoding.v15(block, SECRET, b"ciphertext")
    assert made != encoding.v15(block, SECRET, b"another")
    assert made != encoding.v15(block, b"\1" * 32, b"ciphertext")
    assert not made or made not in block


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("mask", ["sha1", "sha256"])
@pytest.mark.parametrize("label", [b"", b"label"])
def test_oaep_gives_what_was_encrypted(digest: Digest, mask: Digest, label: bytes) -> None:
    """Tokens know OAEP with SHA-1 alone; Outlook and OpenSSL send with SHA-256."""
    how = padding.OAEP(padding.MGF1(ALGORITHMS[mask]), ALGORITHMS[digest], label or None)
    ciphertext = PUBLIC.encrypt(b"k" * 32, how)
    assert encoding.oaep(bare(ciphertext), digest, mask, label) == b"k" * 32
    assert encoding.oaep(bare(ciphertext), digest, mask, b"other") is None


def test_oaep_rejects_what_was_altered() -> None:
    """Garbage would be taken for a key."""
    how = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    block = bytearray(bare(PUBLIC.encrypt(b"k" * 32, how)))
    for at in (0, 1, 40, 255):
        block[at] ^= 1
        assert encoding.oaep(bytes(block), "sha256", "sha256", b"") is None
        block[at] ^= 1
    assert encoding.oaep(bytes(65), "sha256", "sha256", b"") is None
