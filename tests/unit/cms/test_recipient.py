"""Every other way a content key reaches us: curves, encapsulation, passwords and shared keys."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from tests.pki_builder import KeyKind, User, user
from tests.unit.cms.test_signature import unarmoured

from gatepost.certificate import Certificate
from gatepost.cms import agreement, ber, content, der, designation, enveloped
from gatepost.cms.capability import KeyTransport, Password, Secret, SharedKey
from gatepost.cms.enveloped import Decrypted, NoRecipient
from gatepost.errors import DecryptionFailed, GatepostError, LimitExceeded, Malformed, Unsupported
from gatepost.mail.content import Octets, join

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
OAEP = KeyTransport("rsa-oaep")
KINDS: list[KeyKind] = ["x25519", "x448", "bp256", "bp384", "bp512", "ml-kem-768", "ml-kem-1024"]
KEY = bytes(range(32))


def bob(kind: KeyKind) -> User:
    """The recipient of most tests."""
    return user("bob@example.com", kind)


def encrypted(*recipients: User, cipher: str = "aes256-gcm") -> bytes:
    """A text encrypted to these users."""
    made = enveloped.encrypt(
        Octets(TEXT),
        [one.certificate for one in recipients],
        cipher=cipher,
        key_transport=OAEP,
        entropy=os.urandom,
    )
    return join(made)


def opened(octets: bytes, *users: User, secrets: Sequence[Secret] = ()) -> Decrypted:
    """What these users can read, or these secrets open."""
    decryptors = [one.decryptor for one in users]
    return enveloped.decrypt(octets, decryptors, entropy=os.urandom, secrets=secrets)


def sealed(*infos: bytes, key: bytes = KEY) -> bytes:
    """An AuthEnvelopedData with AES-GCM under this key, and these RecipientInfos."""
    whole = AESGCM(key).encrypt(b"n" * 12, TEXT, None)
    parameters = der.sequence(der.octet_string(b"n" * 12), der.integer(16))
    arc = {16: 6, 24: 26, 32: 46}[len(key)]
    inside = der.sequence(
        der.tlv(0x06, content.DATA),
        der.sequence(der.oid(f"2.16.840.1.101.3.4.1.{arc}"), parameters),
        der.tlv(0x80, whole[:-16]),
    )
    body = der.sequence(der.integer(0), der.set_of(*infos), inside, der.octet_string(whole[-16:]))
    return der.sequence(der.tlv(0x06, content.AUTHENVELOPED_DATA), der.explicit(0, body))


# Key agreement and encapsulation


@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes192-gcm", "aes256-gcm"])
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: KeyKind, cipher: str) -> None:
    """Mail that cannot be opened again is lost."""
    made = encrypted(bob(kind), cipher=cipher)
    found = opened(made, bob(kind))
    assert (found.content, found.used) == (TEXT, bob(kind).certificate)
    assert not found.unproven
    assert ber.canonical(ber.parse(made)) == made
    (recipient,) = enveloped.recipients(made)
    assert recipient.names(bob(kind).certificate)
    with pytest.raises(NoRecipient):
        opened(made, user("carol@example.com", kind))


@pytest.mark.parametrize(
    ("kind", "management"),
    [
        ("x25519", "ecdh-hkdf-sha256"),
        ("ml-kem-768", "ml-kem-768"),
        ("rsa2048", "rsa-oaep"),
        ("p256", "ecdh-std-sha256"),
    ],
)
def test_how_the_key_came_is_told(kind: KeyKind, management: str) -> None:
    """What a correspondent writes, he reads; nobody would learn it."""
    made = encrypted(bob(kind), cipher="aes256-gcm")
    assert opened(made, bob(kind)).management == management


@pytest.mark.parametrize(
    ("kinds", "version"),
    [
        (["x25519"], 2),
        (["ml-kem-768"], 3),
        (["rsa2048", "ml-kem-1024", "p256"], 3),
        (["rsa2048", "x448"], 2),
    ],
)
def test_versions_and_mixed_recipients(kinds: list[KeyKind], version: int) -> None:
    """RFC 5652 6.1: with an OtherRecipientInfo the version is 3; strict readers look."""
    users = [bob(kind) for kind in kinds]
    made = encrypted(*users, cipher="aes128-cbc")
    fields = ber.parse(made).sequence()[1].children()[0].sequence()
    assert fields[0].integer() == version
    for one in users:
        assert opened(made, one).content == TEXT


def test_another_key_of_the_same_name() -> None:
    """The wrong private key gives DecryptionFailed, as everything a key decides."""
    for kind in KINDS:
        made = encrypted(bob(kind))
        impostor = User(bob(kind).certificate, user("carol@example.com", kind).key, ())
        with pytest.raises(DecryptionFailed):
            opened(made, impostor)
        mismatched = User(bob(kind).certificate, bob("rsa2048").key, ())
        with pytest.raises(DecryptionFailed):
            opened(made, mismatched)


@pytest.mark.parametrize("kind", KINDS)
def test_every_changed_octet_is_noticed(kind: KeyKind) -> None:
    """Nothing in a RecipientInfo may be changed without the key being another one."""
    made = encrypted(bob(kind))
    for at in range(24, len(made), max(1, len(made) // 61)):
        forged = bytearray(made)
        forged[at] ^= 0x41
        try:
            assert opened(bytes(forged), bob(kind)).content == TEXT, at
        except GatepostError:
            continue


AGREED = {
    "1.3.132.1.11.1": ("x963", hashes.SHA256()),
    "1.3.132.1.11.2": ("x963", hashes.SHA384()),
    "1.3.132.1.11.3": ("x963", hashes.SHA512()),
    "1.2.840.113549.1.9.16.3.19": ("hkdf", hashes.SHA256()),
    "1.2.840.113549.1.9.16.3.20": ("hkdf", hashes.SHA384()),
    "1.2.840.113549.1.9.16.3.21": ("hkdf", hashes.SHA512()),
    "0.4.0.127.0.7.1.1.5.1.1.3": ("x963", hashes.SHA256()),
}


@pytest.mark.parametrize("ukm", [None, b"", b"material"])
@pytest.mark.parametrize("wrap", [16, 24, 32])
@pytest.mark.parametrize("scheme", AGREED)
def test_agreement_as_peers_may_write_it(scheme: str, wrap: int, ukm: bytes | None) -> None:
    """RFC 8418: either KDF; with HKDF the ukm is the salt and stands in the info too."""
    one = bob("x25519")
    public = one.certificate.public_key
    assert isinstance(public, x25519.X25519PublicKey)
    own = x25519.X25519PrivateKey.generate()
    secret = own.exchange(public)
    wrap_identifier = der.sequence(
        der.oid(f"2.16.840.1.101.3.4.1.{ {16: 5, 24: 25, 32: 45}[wrap] }")
    )
    said = b"" if ukm is None else der.explicit(0, der.octet_string(ukm))
    bits = der.octet_string((wrap * 8).to_bytes(4, "big"))
    info = der.sequence(wrap_identifier, said, der.explicit(2, bits))
    family, digest = AGREED[scheme]
    kek = (
        HKDF(digest, wrap, ukm, info).derive(secret)
        if family == "hkdf"
        else X963KDF(digest, wrap, info).derive(secret)
    )
    originator = der.explicit(
        1, der.sequence(der.oid("1.3.101.110")), der.bit_string(own.public_key().public_bytes_raw())
    )
    agreed = der.explicit(
        1,
        der.integer(3),
        der.explicit(0, originator),
        b"" if ukm is None else der.explicit(1, der.octet_string(ukm)),
        der.sequence(der.oid(scheme), wrap_identifier),
        der.sequence(
            der.sequence(
                designation.issuer_and_serial(one.certificate),
                der.octet_string(keywrap.aes_key_wrap(kek, KEY)),
            )
        ),
    )
    assert opened(sealed(agreed), one).content == TEXT


def test_a_point_as_gpgsm_writes_it() -> None:
    """GnuPG's users with X25519 keys send mail that stays closed."""
    public = bob("x25519").certificate.public_key
    assert isinstance(public, x25519.X25519PublicKey)
    octets = public.public_bytes_raw()

    assert agreement.peer(b"\x40" + octets, public) == octets
    for wrong in (b"\x41" + octets, b"\x40\x40" + octets, b""):
        with pytest.raises(DecryptionFailed):
            assert agreement.peer(wrong, public) == octets


def test_a_point_that_gives_nothing() -> None:
    """RFC 8418 section 2: an all-zero secret is no secret."""
    made = bytearray(encrypted(bob("x25519")))
    at = made.index(b"\x03\x21\x00") + 3
    made[at : at + 32] = bytes(32)
    with pytest.raises(DecryptionFailed):
        opened(bytes(made), bob("x25519"))


def encapsulated(
    one: User,
    *,
    wrap: int = 32,
    size: int | None = None,
    ukm: bytes | None = None,
    kdf: int = 28,
    kem: str = "2.16.840.1.101.3.4.4.2",
    parameters: bytes = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"), der.NULL),  # SHA-256
) -> bytes:
    """A KEMRecipientInfo, made from the RFC's text and not with the code under test."""
    public = one.certificate.public_key
    assert isinstance(public, mlkem.MLKEM768PublicKey)
    secret, ciphertext = public.encapsulate()
    arc = {16: 5, 24: 25, 32: 45}[wrap]
    wrap_identifier = der.sequence(der.oid(f"2.16.840.1.101.3.4.1.{arc}"))
    said = b"" if ukm is None else der.explicit(0, der.octet_string(ukm))
    length = der.integer(wrap if size is None else size)
    info = der.sequence(wrap_identifier, length, said)
    derivation, kek = _derivation(kdf, secret, info, wrap, parameters)
    body = der.sequence(
        der.integer(0),
        designation.issuer_and_serial(one.certificate),
        der.sequence(der.oid(kem)),
        der.octet_string(ciphertext),
        derivation,
        length,
        said,
        wrap_identifier,
        der.octet_string(keywrap.aes_key_wrap(kek, KEY)),
    )
    return der.explicit(4, der.oid("1.2.840.113549.1.9.16.13.3"), body)


def _derivation(
    kdf: int, secret: bytes, info: bytes, size: int, parameters: bytes
) -> tuple[bytes, bytes]:
    """HKDF by the last arc of its name; 3 is KDF3 (ANSI X9.44), here with SHA-256."""
    if kdf == 3:
        named = der.sequence(der.oid("1.3.133.16.840.9.44.1.2"), parameters)
        return named, hashlib.sha256(b"\0\0\0\1" + secret + info).digest()[:size]
    digest = {28: hashes.SHA256(), 29: hashes.SHA384(), 30: hashes.SHA512()}[kdf]
    named = der.sequence(der.oid(f"1.2.840.113549.1.9.16.3.{kdf}"))
    return named, HKDF(digest, size, None, info).derive(secret)


@pytest.mark.parametrize("ukm", [None, b"material"])
@pytest.mark.parametrize("kdf", [28, 29, 30, 3])
@pytest.mark.parametrize("wrap", [16, 24, 32])
def test_encapsulation_as_peers_may_write_it(wrap: int, kdf: int, ukm: bytes | None) -> None:
    """RFC 9629: the wrap, its length and the ukm are all bound into the key."""
    one = bob("ml-kem-768")
    assert opened(sealed(encapsulated(one, wrap=wrap, kdf=kdf, ukm=ukm)), one).content == TEXT


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        (b"", Malformed),
        (der.NULL, Malformed),
        (der.sequence(der.oid("1.2.3")), Unsupported),
        (der.sequence(der.oid("2.16.840.1.101.3.4.2.12")), DecryptionFailed),  # SHAKE256
    ],
)
def test_kdf3_without_a_digest_to_derive_with(parameters: bytes, error: type[Exception]) -> None:
    """An answer of ours, not a traceback of a library's."""
    one = bob("ml-kem-768")
    with pytest.raises(error):
        opened(sealed(encapsulated(one, kdf=3, parameters=parameters)), one)


def test_encapsulation_that_is_not_as_it_must_be() -> None:
    """Structures nobody should send, and everybody can."""
    one = bob("ml-kem-768")
    with pytest.raises(Malformed, match="with a key of 16 octets"):
        opened(sealed(encapsulated(one, size=16)), one)
    with pytest.raises(Unsupported, match=r"1\.2\.3"):
        opened(sealed(encapsulated(one, kem="1.2.3")), one)
    kem = der.oid("1.2.840.113549.1.9.16.13.3")
    for broken in (der.explicit(4), der.explicit(4, kem), der.explicit(4, kem, der.sequence())):
        with pytest.raises(Malformed):
            opened(sealed(broken), one)
    other = der.explicit(4, der.oid("1.2.3.4"), der.sequence())
    assert opened(sealed(other, encapsulated(one)), one).content == TEXT


def test_a_vault_that_knows_no_encapsulation() -> None:
    """A token made before ML-KEM: the mail cannot be opened, and nothing breaks."""

    @dataclass
    class Token:
        certificate: Certificate

        def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
            raise DecryptionFailed

        def agree(self, public_key: bytes) -> bytes:
            raise DecryptionFailed

    one = bob("ml-kem-768")
    with pytest.raises(DecryptionFailed):
        enveloped.decrypt(encrypted(one), [Token(one.certificate)], entropy=os.urandom)


@pytest.mark.corpus
def test_the_certificates_of_rfc_9935(corpus: Path) -> None:
    """ML-KEM-512 is in no library we have: the certificate is read, its key is not."""
    for size, known in ((512, False), (768, True), (1024, True)):
        text = (corpus / f"rfc9882-mldsa/keys/ML-KEM-{size}.pem").read_bytes()
        certificate = Certificate.from_der(unarmoured(text))
        assert (certificate.public_key is not None) == known


# Shared keys and passwords


def under_key(key_id: bytes, wrapped: bytes, wrap: str = "2.16.840.1.101.3.4.1.45") -> bytes:
    """A KEKRecipientInfo."""
    return der.explicit(
        2,
        der.integer(4),
        der.sequence(der.octet_string(key_id)),
        der.sequence(der.oid(wrap)),
        der.octet_string(wrapped),
    )


def test_a_shared_key() -> None:
    """Some EDI partners exchange one by post."""
    kek = os.urandom(32)
    octets = sealed(under_key(b"our key", keywrap.aes_key_wrap(kek, KEY)))
    for secret in (SharedKey(kek), SharedKey(kek, b"our key")):
        found = opened(octets, secrets=[secret])
        assert (found.content, found.used, found.unproven) == (TEXT, None, False)
    for wrong in (SharedKey(os.urandom(32)), SharedKey(kek, b"other"), SharedKey(b"short")):
        with pytest.raises(DecryptionFailed):
            opened(octets, secrets=[wrong])
    with pytest.raises(NoRecipient):
        opened(octets, secrets=[Password(b"abc")])
    with pytest.raises(NoRecipient):
        opened(octets)
    padded = keywrap.aes_key_wrap_with_padding(kek, KEY)
    octets = sealed(under_key(b"our key", padded, "2.16.840.1.101.3.4.1.48"))
    assert opened(octets, secrets=[SharedKey(kek)]).content == TEXT


def password_wrapped(kek: bytes, key: bytes, iv: bytes) -> bytes:
    """RFC 3211 section 2.3.1."""
    plain = bytes((len(key), *(octet ^ 0xFF for octet in key[:3]))) + key
    plain += b"p" * (-len(plain) % 16)
    for _ in range(2):
        context = Cipher(AES(kek), modes.CBC(iv)).encryptor()
        plain = context.update(plain) + context.finalize()
        iv = plain[-16:]
    return plain


def by_password(
    password: bytes = b"secret",
    *,
    iterations: int = 1000,
    salt: bytes = b"s" * 8,
    after: bytes = b"",
    digest: str = "sha1",
    wrapped: bytes | None = None,
    parameters: bytes | None = None,
) -> bytes:
    """A PasswordRecipientInfo with PBKDF2 and AES-256."""
    iv = b"i" * 16
    if wrapped is None:
        kek = hashlib.pbkdf2_hmac(digest, password, salt, iterations, 32)
        wrapped = password_wrapped(kek, KEY, iv)
    if parameters is None:
        parameters = der.sequence(der.octet_string(salt), der.integer(iterations), after)
    cipher = der.sequence(der.oid("2.16.840.1.101.3.4.1.42"), der.octet_string(iv))
    return der.explicit(
        3,
        der.integer(0),
        der.explicit(0, der.oid("1.2.840.113549.1.5.12"), parameters),
        der.sequence(der.oid("1.2.840.113549.1.9.16.3.9"), cipher),
        der.octet_string(wrapped),
    )


def test_a_password() -> None:
    """Gpgsm and WinZip-like tools encrypt with one."""
    prf = der.sequence(der.oid("1.2.840.113549.2.9"), der.NULL)
    for octets in (
        sealed(by_password()),
        sealed(by_password(after=der.integer(32))),
        sealed(by_password(digest="sha256", after=prf)),
        sealed(by_password(digest="sha256", after=der.integer(32) + prf)),
    ):
        found = opened(octets, secrets=[Password(b"secret")])
        assert (found.content, found.used, found.recipients) == (TEXT, None, 0)
        with pytest.raises(DecryptionFailed):
            opened(octets, secrets=[Password(b"wrong")])


def test_a_password_recipient_that_is_not_as_it_must_be() -> None:
    """Lengths, counts and parameters are the sender's to choose, and ours to bound."""
    secrets = [Password(b"secret")]
    for info, error in {
        by_password(iterations=10, wrapped=b"x" * 16): DecryptionFailed,
        by_password(iterations=10, wrapped=b"x" * 33): DecryptionFailed,
        by_password(iterations=10, wrapped=b"x" * 5000): Malformed,
        by_password(iterations=10, after=der.integer(16)): Malformed,
        by_password(iterations=10, after=der.sequence(der.oid("1.2.3"))): Unsupported,
        by_password(parameters=der.sequence()): Malformed,
        by_password(parameters=der.sequence(der.octet_string(b"salt"))): Malformed,
        by_password(iterations=0, wrapped=b"x" * 32): LimitExceeded,
        by_password(iterations=2_000_001, wrapped=b"x" * 32): LimitExceeded,
        der.explicit(3, der.integer(0)): Unsupported,
        der.explicit(3): Unsupported,
    }.items():
        with pytest.raises(error):
            opened(sealed(info), secrets=secrets)


def test_many_password_recipients_cost_no_more_than_two() -> None:
    """A message of a thousand of them, a second each, would stop the gateway."""
    infos = [
        by_password(iterations=200_000, salt=b"%08d" % at, wrapped=b"x" * 32) for at in range(99)
    ]
    started = time.process_time()
    with pytest.raises(DecryptionFailed):
        opened(sealed(*infos), secrets=[Password(b"secret")])
    assert time.process_time() - started < 2


@pytest.mark.corpus
@pytest.mark.parametrize("file", ["pwri-sample.cbc-2.p7m", "pwri-sample.gcm.p7m"])
def test_passwords_as_gnupg_reads_them(corpus: Path, file: str) -> None:
    """OpenSSL cannot open the one with GCM; gpgsm can."""
    octets = (corpus / "gnupg-cms/msg" / file).read_bytes()
    found = opened(octets, secrets=[Password(b"abc")])
    assert found.content
    assert found.authenticated == ("gcm" in file)
