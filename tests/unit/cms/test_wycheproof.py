"""Wycheproof's vectors through the code that reads and writes mail.

`valid` must pass with the value given and `invalid` must be refused, by an error of ours.
`acceptable` is what a standard leaves open; what we answer stands beside each test.
Where we refuse something valid on purpose, the test names the rule that does it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key
from tests.pki_builder import private_key, user

from gatepost.certificate import Certificate
from gatepost.cms import (
    agreement,
    algorithms,
    ber,
    cipher,
    content,
    der,
    designation,
    identifier,
    keywrap,
    recipient,
    signed,
)
from gatepost.cms.algorithms import Algorithm
from gatepost.cms.capability import Digest, KeyTransport
from gatepost.cms.cipher import ContentCipher
from gatepost.errors import DecryptionFailed, GatepostError, Malformed
from gatepost.mail.content import Octets, join
from gatepost.vault.software import SoftwareDecryptor

pytestmark = pytest.mark.corpus

Json = dict[str, Any]
DIGESTS: dict[str, Digest] = {
    "SHA-1": "sha1",
    "SHA-224": "sha224",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
}


@dataclass(frozen=True, slots=True)
class Vector:
    """One vector, its group and what is expected of it."""

    group: Json
    test: Json

    def octets(self, name: str) -> bytes:
        """A value in hexadecimal."""
        return bytes.fromhex(self.test[name])

    @property
    def flags(self) -> set[str]:
        """Why the vector is there."""
        return set(self.test["flags"])


def vectors(corpus: Path, name: str) -> Iterator[Vector]:
    """Every vector of a file."""
    read = json.loads((corpus / "wycheproof/msg" / f"{name}.json").read_text())
    for group in read["testGroups"]:
        yield from (Vector(group, test) for test in group["tests"])


def judge(
    corpus: Path,
    name: str,
    passes: Callable[[Vector], bool],
    expected: Callable[[Vector], bool | None] = lambda _: None,
) -> int:
    """Compare every answer with what is expected; None leaves it to the vector's result."""
    wrong, count = [], 0
    for one in vectors(corpus, name):
        count += 1
        wanted = expected(one)
        if wanted is None and one.test["result"] != "acceptable":
            wanted = one.test["result"] == "valid"
        got = passes(one)
        if wanted is not None and got != wanted:
            wrong.append((one.test["tcId"], one.test["comment"], one.test["flags"], got))
    assert wrong == []
    return count


def certified(public_key: bytes) -> Certificate:
    """A certificate for this SubjectPublicKeyInfo; nobody checks who issued it."""
    tbs, *rest = ber.parse(user("vector@example.com", "p256").certificate.der).sequence()
    parts = [one.raw for one in tbs.sequence()]
    parts[6] = public_key
    return Certificate.from_der(der.sequence(der.sequence(*parts), *(one.raw for one in rest)))


# Signatures: a SignedData without signed attributes, its content the message


def verifies(certificate: Certificate, algorithm: bytes, digest: Digest, one: Vector) -> bool:
    """Whether a message with this signature is intact."""
    declared = identifier.digest_identifier(digest)
    info = der.sequence(
        der.integer(1),
        designation.issuer_and_serial(certificate),
        declared,
        algorithm,
        der.octet_string(one.octets("sig")),
    )
    inside = der.explicit(0, der.octet_string(one.octets("msg")))
    body = der.sequence(
        der.integer(1),
        der.set_of(declared),
        der.sequence(der.tlv(0x06, content.DATA), inside),
        der.explicit(0, certificate.der),
        der.set_of(info),
    )
    octets = der.sequence(der.tlv(0x06, content.SIGNED_DATA), der.explicit(0, body))
    (verdict,) = signed.verify(signed.parse(octets), None)
    assert verdict.intact != bool(verdict.reason)
    return verdict.intact


def named(name: str, parameters: bytes = b"") -> bytes:
    """An AlgorithmIdentifier."""
    return der.sequence(der.oid(algorithms.BY_NAME[name].oid), parameters)


@pytest.mark.parametrize("name", ["2048_sha256", "2048_sha512", "3072_sha384"])
def test_rsa_signatures(corpus: Path, name: str) -> None:
    """`acceptable` is a DigestInfo without NULL: as the library has it, either way."""

    def passes(one: Vector) -> bool:
        digest = DIGESTS[one.group["sha"]]
        certificate = certified(bytes.fromhex(one.group["publicKeyDer"]))
        return verifies(certificate, named("rsa-pkcs1", der.NULL), digest, one)

    assert judge(corpus, f"rsa_signature_{name}", passes) > 200


@pytest.mark.parametrize(
    "name", ["2048_sha1_mgf1_20", "2048_sha256_mgf1_0", "3072_sha256_mgf1_32", "misc"]
)
def test_pss_signatures(corpus: Path, name: str) -> None:
    """The parameters stand in the message and, for some, in the certificate's key as well."""

    def parameters(one: Vector) -> bytes:
        mask = der.sequence(
            der.oid(algorithms.BY_NAME["mgf1"].oid),
            identifier.digest_identifier(DIGESTS[one.group["mgfSha"]], null=True),
        )
        return der.sequence(
            der.explicit(0, identifier.digest_identifier(DIGESTS[one.group["sha"]], null=True)),
            der.explicit(1, mask),
            der.explicit(2, der.integer(one.group["sLen"])),
        )

    def passes(one: Vector) -> bool:
        digest = DIGESTS[one.group["sha"]]
        certificate = certified(bytes.fromhex(one.group["publicKeyDer"]))
        return verifies(certificate, named("rsa-pss", parameters(one)), digest, one)

    assert judge(corpus, f"rsa_pss_{name}_params", passes) > 80


@pytest.mark.parametrize("name", ["brainpoolP256r1_sha256", "secp521r1_sha512"])
def test_ecdsa_signatures(corpus: Path, name: str) -> None:
    """A forged one among them would be anybody's signature."""

    def passes(one: Vector) -> bool:
        digest = DIGESTS[one.group["sha"]]
        certificate = certified(bytes.fromhex(one.group["publicKeyDer"]))
        return verifies(certificate, named(f"ecdsa-{digest}"), digest, one)

    assert judge(corpus, f"ecdsa_{name}", passes) > 400


# Keys on their way: RecipientInfos with the vector's ciphertext or point


@pytest.mark.parametrize(
    "name",
    [
        "2048_sha1_mgf1sha1",
        "2048_sha256_mgf1sha256",
        "2048_sha512_mgf1sha512",
        "3072_sha256_mgf1sha256",
        "4096_sha512_mgf1sha512",
    ],
)
def test_oaep(corpus: Path, name: str) -> None:
    """With the label in the parameters; a key of another length than the cipher's is refused."""
    keys: dict[str, PrivateKeyTypes] = {}
    certificate = user("vector@example.com", "rsa2048").certificate

    def passes(one: Vector) -> bool:
        encoded = one.group["privateKeyPkcs8"]
        if encoded not in keys:
            keys[encoded] = load_der_private_key(bytes.fromhex(encoded), None)
        digests = DIGESTS[one.group["sha"]], DIGESTS[one.group["mgfSha"]]
        scheme = KeyTransport("rsa-oaep", *digests, one.octets("label"))
        info = der.sequence(
            der.integer(0),
            designation.issuer_and_serial(certificate),
            identifier.transport_identifier(scheme),
            der.octet_string(one.octets("ct")),
        )
        ((parsed,), _) = recipient.parse(ber.parse(der.set_of(info)))
        decryptor = SoftwareDecryptor(certificate, keys[encoded])
        try:
            key = recipient.open_key(parsed, decryptor, len(one.octets("msg")), os.urandom)
        except DecryptionFailed:
            return False
        return key == one.octets("msg")

    assert judge(corpus, f"rsa_oaep_{name}", passes) > 30


def test_pkcs1_never_says_why() -> None:
    """No vectors for RSA v1.5 decryption are here: whatever comes, a key of the size comes out."""
    certificate = user("vector@example.com", "rsa2048").certificate
    key = private_key("rsa2048", "vector@example.com both")
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    modulus, exponent = numbers.public_numbers.n, numbers.public_numbers.e
    good = b"\x00\x02" + b"\x11" * (253 - 32) + b"\x00" + bytes(range(32))
    bad = {
        "first octet": b"\x01" + good[1:],
        "block type 1": b"\x00\x01" + good[2:],
        "block type 0": b"\x00\x00" + good[2:],
        "no separator": b"\x00\x02" + b"\x11" * 254,
        "short padding": b"\x00\x02" + b"\x11" * 7 + b"\x00" + b"\x22" * 246,
        "separator first": b"\x00\x02\x00" + b"\x22" * 253,
        "empty key": b"\x00\x02" + b"\x11" * 253 + b"\x00",
        "one octet too few": b"\x00\x02" + b"\x11" * 222 + b"\x00" + bytes(range(31)),
        "one octet too many": b"\x00\x02" + b"\x11" * 220 + b"\x00" + bytes(range(33)),
        "zero": bytes(256),
    }

    def opened(block: bytes) -> bytes:
        encrypted = pow(int.from_bytes(block, "big"), exponent, modulus).to_bytes(256, "big")
        info = der.sequence(
            der.integer(0),
            designation.issuer_and_serial(certificate),
            identifier.transport_identifier(KeyTransport("rsa-pkcs1")),
            der.octet_string(encrypted),
        )
        ((parsed,), _) = recipient.parse(ber.parse(der.set_of(info)))
        return recipient.open_key(parsed, SoftwareDecryptor(certificate, key), 32, os.urandom)

    assert opened(good) == bytes(range(32))
    for why, block in bad.items():
        assert len(opened(block)) == 32, why
        assert opened(block) != bytes(range(32)), why


def originator(algorithm: bytes, key: bytes) -> ber.Element:
    """The originator field of a KeyAgreeRecipientInfo."""
    return ber.parse(der.explicit(0, der.explicit(1, algorithm, der.bit_string(key))))


def test_ecdh(corpus: Path) -> None:
    """`acceptable` is a compressed point: RFC 5753 section 3.1.1 lets it be read."""
    certificate = user("vector@example.com", "p256").certificate

    def passes(one: Vector) -> bool:
        key = ec.derive_private_key(int(one.test["private"], 16), ec.SECP256R1())
        algorithm = der.sequence(der.oid("1.2.840.10045.2.1"))
        try:
            sent = agreement.originator(originator(algorithm, one.octets("public")))
            assert sent is not None
            point = agreement.peer(sent, certificate.public_key)
            secret = SoftwareDecryptor(certificate, key).agree(point)
        except GatepostError:
            return False
        return secret == one.octets("shared")

    def expected(one: Vector) -> bool | None:
        return True if one.test["result"] == "acceptable" else None

    assert judge(corpus, "ecdh_secp256r1_ecpoint", passes, expected) == 355


def test_x25519(corpus: Path) -> None:
    """`acceptable`: points on the twist pass; a secret of zeros does not (RFC 8418 section 2)."""
    certificate = user("vector@example.com", "x25519").certificate

    def passes(one: Vector) -> bool:
        try:
            key = load_der_private_key(one.octets("private"), None)
        except ValueError:
            return False  # refused at import
        public = one.octets("public")
        try:
            # an OriginatorPublicKey is a SubjectPublicKeyInfo under another tag
            sent = agreement.originator(ber.parse(der.explicit(0, b"\xa1" + public[1:])))
            assert sent is not None
            peer = agreement.peer(sent, certificate.public_key)
            secret = SoftwareDecryptor(certificate, key).agree(peer)
        except GatepostError:
            return False
        return secret == one.octets("shared")

    def expected(one: Vector) -> bool | None:
        if one.test["result"] == "acceptable":
            return "ZeroSharedSecret" not in one.flags
        return None

    assert judge(corpus, "x25519_asn", passes, expected) == 537


def test_ml_kem(corpus: Path) -> None:
    """The file's keys are expanded ones, which the library does not load: a seed is asked for.

    What is left is that a ciphertext of a wrong length is refused, and a changed one is not.
    """
    one = user("vector@example.com", "ml-kem-768")
    decryptor = SoftwareDecryptor(one.certificate, one.key)
    lengths = set()
    for vector in vectors(corpus, "mlkem_768_semi_expanded_decaps"):
        ciphertext = vector.octets("c")
        lengths.add(len(ciphertext))
        if len(ciphertext) == 1088:
            assert len(decryptor.decapsulate(ciphertext)) == 32
        else:
            assert "IncorrectCiphertextLength" in vector.flags
            with pytest.raises(DecryptionFailed):
                decryptor.decapsulate(ciphertext)
    assert len(lengths) > 1


@pytest.mark.parametrize(("name", "suffix"), [("aes_wrap", ""), ("aes_kwp", "-pad")])
def test_key_wrap(corpus: Path, name: str, suffix: str) -> None:
    """`acceptable` is a key of eight octets: as the library has it, and no cipher's."""

    def passes(one: Vector) -> bool:
        key, message = one.octets("key"), one.octets("msg")
        how = algorithms.BY_NAME[f"aes{len(key) * 8}-wrap{suffix}"]
        try:
            found = keywrap.unwrap(key, one.octets("ct"), how)
        except DecryptionFailed:
            return False
        if not suffix:
            assert keywrap.wrap(key, message) == one.octets("ct")
        return found == message

    assert judge(corpus, name, passes) > 150


# Content


def opened(algorithm: bytes, key: bytes, one: Vector) -> bytes:
    """The content as the envelope's reader decrypts it."""
    found, iv, _ = identifier.cipher(algorithm)
    tag, aad = one.test.get("tag", ""), one.test.get("aad", "")
    made = ContentCipher(found, key, iv)
    ciphertext = memoryview(one.octets("ct"))
    pieces = (ciphertext[:5], ciphertext[5:])
    return cipher.decrypt(made, pieces, bytes.fromhex(tag), bytes.fromhex(aad))


def written(found: Algorithm, one: Vector) -> bytes:
    """The content as the envelope's writer encrypts it, with its tag."""
    made = ContentCipher(found, one.octets("key"), one.octets("iv"))
    room = bytes(16) if made.is_authenticated else b""
    message = Octets(one.octets("msg"))
    return join(cipher.encrypt(made, message, der.Shell(made.size(message.size), b"", room)))


def test_cbc(corpus: Path) -> None:
    """Both ways."""

    def passes(one: Vector) -> bool:
        name = f"aes{one.group['keySize']}-cbc"
        try:
            found = opened(named(name, der.octet_string(one.octets("iv"))), one.octets("key"), one)
        except DecryptionFailed:
            return False
        assert written(algorithms.BY_NAME[name], one) == one.octets("ct")
        return found == one.octets("msg")

    assert judge(corpus, "aes_cbc_pkcs5", passes) == 216


def test_gcm(corpus: Path) -> None:
    """Both ways; nonces of less than 8 and more than 128 octets are refused by our reader."""

    def passes(one: Vector) -> bool:
        name, nonce = f"aes{one.group['keySize']}-gcm", one.octets("iv")
        length = der.integer(one.group["tagSize"] // 8)
        try:
            found = opened(
                named(name, der.sequence(der.octet_string(nonce), length)), one.octets("key"), one
            )
        except (DecryptionFailed, Malformed):
            return False
        if not one.test["aad"]:
            sealed = one.octets("ct") + one.octets("tag")
            assert written(algorithms.BY_NAME[name], one) == sealed
        return found == one.octets("msg")

    def expected(one: Vector) -> bool | None:
        return None if 8 <= len(one.octets("iv")) <= 128 else False

    assert judge(corpus, "aes_gcm", passes, expected) == 316


def test_ccm(corpus: Path) -> None:
    """Tags of 4, 6 and 8 octets are refused though RFC 5084 allows them: they can be guessed."""

    def passes(one: Vector) -> bool:
        name, nonce = f"aes{one.group['keySize']}-ccm", one.octets("iv")
        length = der.integer(one.group["tagSize"] // 8)
        try:
            found = opened(
                named(name, der.sequence(der.octet_string(nonce), length)), one.octets("key"), one
            )
        except (DecryptionFailed, Malformed):
            return False
        return found == one.octets("msg")

    def expected(one: Vector) -> bool | None:
        return None if one.group["tagSize"] >= 80 else False

    assert judge(corpus, "aes_ccm", passes, expected) == 552
