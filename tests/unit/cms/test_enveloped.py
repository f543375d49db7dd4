"""Encrypting and decrypting: every recipient, every cipher, and failures that tell nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from tests.pki_builder import KeyKind, User, user

from gatepost.certificate import Certificate
from gatepost.cms import algorithms, ber, content, der, designation, enveloped, identifier
from gatepost.cms.capability import KeyTransport
from gatepost.cms.enveloped import Decrypted, NoRecipient
from gatepost.errors import (
    DecryptionFailed,
    GatepostError,
    KeyUnavailable,
    Malformed,
    Unavailable,
    Unsupported,
)
from gatepost.mail.content import Content, Octets, join

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
OAEP = KeyTransport("rsa-oaep")
PKCS1 = KeyTransport("rsa-pkcs1")
CIPHERS = ["aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm"]
KINDS: list[KeyKind] = ["rsa2048", "rsa3072", "p256", "p384", "p521"]


def bob(kind: KeyKind = "rsa2048") -> User:
    """The recipient of most tests."""
    return user("bob@example.com", kind)


def encrypted(
    *recipients: User,
    text: bytes | Content = TEXT,
    cipher: str = "aes256-gcm",
    transport: KeyTransport = OAEP,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Content:
    """Content encrypted to these users."""
    return enveloped.encrypt(
        Octets(text) if isinstance(text, bytes) else text,
        [one.certificate for one in recipients],
        cipher=cipher,
        key_transport=transport,
        entropy=entropy,
    )


def opened(octets: bytes, *users: User) -> Decrypted:
    """What these users can read."""
    return enveloped.decrypt(octets, [one.decryptor for one in users], entropy=os.urandom)


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_round_trip(kind: KeyKind, cipher: str) -> None:
    """Mail that cannot be opened again is lost."""
    made = join(encrypted(bob(kind), cipher=cipher))
    found = opened(made, bob(kind))
    assert found.content == TEXT
    assert found.cipher == cipher
    assert found.authenticated == ("gcm" in cipher)
    assert (found.recipients, found.used) == (1, bob(kind).certificate)
    assert ber.canonical(ber.parse(made)) == made  # the writer makes DER


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 262_144, 262_145, 2_500_000])
def test_sizes(size: int, cipher: str) -> None:
    """The size is announced before the octets are made, and both paths agree."""
    text = bytes(range(256)) * (size // 256) + bytes(size % 256)
    made = encrypted(bob(), text=text, cipher=cipher)
    octets = join(made)
    assert len(octets) == made.size
    assert join(made) == octets  # the same octets at each reading
    assert opened(octets, bob()).content == text


def test_large_content_streams() -> None:
    """A mail of 1 GiB must pass in bounded memory: nothing is asked for at once."""

    @dataclass
    class Endless:
        size: int = 10 * 1024 * 1024
        handed: list[int] = field(default_factory=list)

        def chunks(self) -> Iterator[bytes]:
            for at in range(0, self.size, 65536):
                self.handed.append(at)
                yield b"x" * 65536

    source = Endless()
    made = encrypted(bob(), text=source)
    assert source.handed == []
    longest = max(map(len, made.chunks()))
    assert longest <= 65536
    assert sum(map(len, made.chunks())) == made.size


def test_content_that_lies_about_its_size() -> None:
    """The lengths were already sent: better no mail than a broken one."""

    @dataclass
    class Short:
        size: int = 1_000_000

        def chunks(self) -> Iterator[bytes]:
            yield b"x"

    with pytest.raises(Unavailable):
        join(encrypted(bob(), text=Short()))


def test_the_key_does_not_show() -> None:
    """A content-encryption key in a log opens the mail."""
    drawn: list[bytes] = []

    def entropy(count: int) -> bytes:
        drawn.append(os.urandom(count))
        return drawn[-1]

    made = encrypted(bob(), text=b"x" * 300_000, entropy=entropy)
    assert repr(drawn[0]) not in repr(made)
    assert drawn[0] not in join(made)


def test_mixed_recipients() -> None:
    """One message, three keys: each opens it alone."""
    users = (bob("rsa2048"), bob("p256"), user("carol@example.com", "p384"))
    octets = join(encrypted(*users, users[0]))
    for one in users:
        found = opened(octets, user("nobody@example.com", "p256"), one)
        assert found.content == TEXT
        assert found.used == one.certificate
    named = enveloped.recipients(octets)
    assert len(named) == 3
    assert [name for name in named if name.names(users[1].certificate)]


@pytest.mark.parametrize(
    ("kinds", "cipher", "version"),
    [
        (["rsa2048"], "aes256-cbc", 0),
        (["rsa2048", "p256"], "aes256-cbc", 2),
        (["p256"], "aes256-gcm", 0),
    ],
)
def test_versions(kinds: list[KeyKind], cipher: str, version: int) -> None:
    """RFC 5652 6.1, RFC 5083 2.1: strict readers look at it."""
    kind, body = content.opened(join(encrypted(*map(bob, kinds), cipher=cipher)))
    assert body.sequence()[0].integer() == version
    gcm = cipher.endswith("gcm")
    assert kind == (content.AUTHENVELOPED_DATA if gcm else content.ENVELOPED_DATA)


def test_entropy_decides_all_but_rsa_padding() -> None:
    """Randomness comes from the caller alone, so a test can repeat what happened."""
    first, second = (
        join(encrypted(bob("p256"), entropy=lambda count: b"\x07" * count)) for _ in range(2)
    )
    assert first == second


def test_nobody_is_addressed() -> None:
    """The administrator must learn that the wrong certificate was used, not that it is broken."""
    octets = join(encrypted(bob()))
    for users in ((), (user("carol@example.com", "rsa2048"),)):
        with pytest.raises(NoRecipient):
            opened(octets, *users)
    assert NoRecipient.reply == DecryptionFailed.reply  # the sender learns nothing


@pytest.mark.parametrize("cipher", ["3des-cbc", "aes256", "rsa-oaep", ""])
def test_what_is_not_written(cipher: str) -> None:
    """3DES is read, never written."""
    with pytest.raises(Unsupported):
        encrypted(bob(), cipher=cipher)


def test_who_cannot_be_encrypted_to() -> None:
    """The refusal names the certificate; encrypting to nobody is nonsense."""
    signing_only = user("dave@example.com", "ed25519")
    with pytest.raises(Unsupported, match="dave"):
        encrypted(signing_only)
    with pytest.raises(Unsupported, match="too small"):
        encrypted(user("eve@example.com", "rsa1024"), transport=KeyTransport("rsa-oaep", "sha512"))
    with pytest.raises(Unsupported):
        encrypted()


# Messages nobody but a test writes


def transported(
    one: Certificate, key: bytes, transport: bytes = b"", encrypted_key: bytes | None = None
) -> bytes:
    """A KeyTransRecipientInfo, PKCS #1 v1.5 unless said otherwise."""
    assert isinstance(one.public_key, rsa.RSAPublicKey)
    if encrypted_key is None:
        encrypted_key = one.public_key.encrypt(key, padding.PKCS1v15())
    return der.sequence(
        der.integer(0),
        designation.issuer_and_serial(one),
        transport or identifier.transport_identifier(PKCS1),
        der.octet_string(encrypted_key),
    )


def built(
    infos: bytes,
    cipher: str,
    parameters: bytes,
    ciphertext: bytes,
    *,
    kind: bytes = content.ENVELOPED_DATA,
    after: bytes = b"",
) -> bytes:
    """An enveloped structure with exactly these parts."""
    algorithm = der.sequence(der.oid(algorithms.BY_NAME[cipher].oid), parameters)
    inside = der.sequence(der.tlv(0x06, content.DATA), algorithm, der.tlv(0x80, ciphertext))
    body = der.sequence(der.integer(0), der.tlv(der.SET, infos), inside, after)
    return der.sequence(der.tlv(0x06, kind), der.explicit(0, body))


def sealed(key: bytes, text: bytes = TEXT, *, said: bytes = b"") -> tuple[bytes, bytes, bytes]:
    """Nonce, ciphertext and tag of AES-GCM."""
    nonce = os.urandom(12)
    whole = AESGCM(key).encrypt(nonce, text, said)
    return nonce, whole[:-16], whole[-16:]


def gcm(nonce: bytes) -> bytes:
    """GCMParameters."""
    return der.sequence(der.octet_string(nonce), der.integer(16))


def test_gcm_inside_enveloped_data() -> None:
    """Some senders append the tag to the ciphertext and know no AuthEnvelopedData."""
    key = os.urandom(32)
    nonce, ciphertext, tag = sealed(key)
    infos = transported(bob().certificate, key)
    octets = built(infos, "aes256-gcm", gcm(nonce), ciphertext + tag)
    found = opened(octets, bob())
    assert (found.content, found.authenticated) == (TEXT, True)
    with pytest.raises(DecryptionFailed):
        opened(built(infos, "aes256-gcm", gcm(nonce), tag + ciphertext), bob())
    with pytest.raises(Malformed):
        opened(built(infos, "aes256-gcm", gcm(nonce), tag[:8]), bob())


def test_authenticated_attributes() -> None:
    """What they say is under the tag (RFC 5083 2.2): one changed octet and nothing is released."""
    key = os.urandom(32)
    said = der.set_of(der.sequence(der.oid("1.2.840.113549.1.9.99"), der.set_of(der.oid("1.2.3"))))
    nonce, ciphertext, tag = sealed(key, said=said)
    infos = transported(bob().certificate, key)
    kind = content.AUTHENVELOPED_DATA

    def message(attributes: bytes) -> bytes:
        after = b"\xa1" + attributes[1:] + der.octet_string(tag)
        return built(infos, "aes256-gcm", gcm(nonce), ciphertext, kind=kind, after=after)

    assert opened(message(said), bob()).content == TEXT
    with pytest.raises(DecryptionFailed):
        opened(message(said[:-1] + b"\x04"), bob())


def test_triple_des_is_read() -> None:
    """Old partners and old archives; flagged as weak."""
    key, iv, count = os.urandom(24), os.urandom(8), 8 - len(TEXT) % 8
    context = Cipher(TripleDES(key), modes.CBC(iv)).encryptor()
    ciphertext = context.update(TEXT + bytes((count,)) * count) + context.finalize()
    octets = built(
        transported(bob().certificate, key), "3des-cbc", der.octet_string(iv), ciphertext
    )
    found = opened(octets, bob())
    assert (found.content, found.cipher, found.weak) == (TEXT, "3des-cbc", True)


def outcome(octets: bytes) -> str:
    """How a failure looks from outside."""
    with pytest.raises(GatepostError) as caught:
        opened(octets, bob())
    return f"{type(caught.value).__name__}: {caught.value}"


def test_failures_look_alike() -> None:
    """Bleichenbacher, Vaudenay, EFAIL: a sender who can tell causes apart can decrypt."""
    key = os.urandom(32)
    nonce, ciphertext, tag = sealed(key)
    kind, after = content.AUTHENVELOPED_DATA, der.octet_string(tag)
    certificate = bob().certificate
    wrong_keys = {
        "a key of the wrong size": transported(certificate, os.urandom(16)),
        "another key": transported(certificate, os.urandom(32)),
        "no padding at all": transported(certificate, b"", encrypted_key=os.urandom(256)),
        "a cut key": transported(certificate, b"", encrypted_key=os.urandom(100)),
        "nothing": transported(certificate, b"", encrypted_key=b""),
        "OAEP garbage": transported(
            certificate, b"", identifier.transport_identifier(OAEP), os.urandom(256)
        ),
    }
    seen = {
        name: outcome(built(infos, "aes256-gcm", gcm(nonce), ciphertext, kind=kind, after=after))
        for name, infos in wrong_keys.items()
    }
    good = transported(certificate, key)
    changed = ciphertext[:-1] + bytes((ciphertext[-1] ^ 1,))
    seen["a changed octet"] = outcome(
        built(good, "aes256-gcm", gcm(nonce), changed, kind=kind, after=after)
    )
    iv = der.octet_string(bytes(16))
    context = Cipher(AES(key), modes.CBC(bytes(16))).encryptor()
    for name, ending in {"no": b"\x00", "long": b"\x11" * 17, "odd": b"\x03\x02\x03"}.items():
        unpadded = context.update(bytes(32 - len(ending)) + ending)
        seen[f"{name} padding"] = outcome(built(good, "aes256-cbc", iv, unpadded))
    seen["half a block"] = outcome(built(good, "aes256-cbc", iv, bytes(31)))
    seen["no block"] = outcome(built(good, "aes256-cbc", iv, b""))
    assert set(seen.values()) == {"DecryptionFailed: decryption failed"}, seen


def test_elliptic_failures_look_alike() -> None:
    """A point off the curve must not be told from a wrong one (invalid curve attacks)."""
    one = bob("p256")
    octets = join(encrypted(one))
    at = octets.index(b"\x03\x42\x00\x04") + 4
    for offset in (0, 40, -1):
        forged = bytearray(octets)
        forged[at + offset] ^= 1
        with pytest.raises(GatepostError) as caught:
            opened(bytes(forged), one)
        assert isinstance(caught.value, DecryptionFailed | Malformed)


def test_a_vault_that_raises_is_no_oracle() -> None:
    """A token may report bad padding: what follows must look as if it had not."""

    @dataclass
    class Token:
        certificate: Certificate
        drawn: int = 0

        def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
            raise DecryptionFailed

        def agree(self, public_key: bytes) -> bytes:
            raise DecryptionFailed

    octets = join(encrypted(bob(), transport=PKCS1))
    drawn: list[int] = []

    def entropy(count: int) -> bytes:
        drawn.append(count)
        return bytes(count)

    with pytest.raises(DecryptionFailed):
        enveloped.decrypt(octets, [Token(bob().certificate)], entropy=entropy)
    assert drawn == [32]


def test_a_key_that_cannot_be_used_now() -> None:
    """A locked vault must delay the mail, not lose it, unless another key opens it."""

    @dataclass
    class Locked:
        certificate: Certificate

        def unwrap(self, encrypted_key: bytes, scheme: KeyTransport) -> bytes:
            raise KeyUnavailable

        def agree(self, public_key: bytes) -> bytes:
            raise KeyUnavailable

    one, other = bob("rsa2048"), bob("p256")
    octets = join(encrypted(one, other, transport=PKCS1))
    locked = Locked(one.certificate)
    found = enveloped.decrypt(octets, [locked, other.decryptor], entropy=os.urandom)
    assert found.content == TEXT
    with pytest.raises(KeyUnavailable):
        enveloped.decrypt(octets, [locked, Locked(other.certificate)], entropy=os.urandom)


def test_several_recipient_infos_for_us() -> None:
    """A broken one before the good one must not hide it; hundreds must not cost hundreds."""
    key = os.urandom(32)
    nonce, ciphertext, tag = sealed(key)
    bad = transported(bob().certificate, os.urandom(32))
    odd = transported(bob().certificate, key, der.sequence(der.oid("1.2.3.4")))
    good = transported(bob().certificate, key)

    def message(infos: bytes) -> bytes:
        return built(infos, "aes256-gcm", gcm(nonce), ciphertext + tag)

    assert opened(message(bad + odd + good), bob()).content == TEXT
    with pytest.raises(Unsupported):
        opened(message(odd), bob())
    with pytest.raises(DecryptionFailed):
        opened(message(bad * 500 + good), bob())


def test_other_kinds_of_recipients_are_passed_over() -> None:
    """Passwords and shared keys beside ours (RFC 5652 6.2.3 to 6.2.5)."""
    key = os.urandom(32)
    nonce, ciphertext, tag = sealed(key)
    others = b"".join(der.tlv(tag, der.integer(0)) for tag in (0xA2, 0xA3, 0xA4))
    infos = others + transported(bob().certificate, key)
    octets = built(infos, "aes256-gcm", gcm(nonce), ciphertext + tag)
    found = opened(octets, bob())
    assert (found.content, found.recipients) == (TEXT, 1)
    with pytest.raises(Malformed):
        opened(built(b"\xa7\x00", "aes256-gcm", gcm(nonce), ciphertext + tag), bob())


def test_what_is_not_enveloped() -> None:
    """The reader is told what it is instead."""
    octets = der.sequence(der.tlv(0x06, content.SIGNED_DATA), der.explicit(0, der.sequence()))
    with pytest.raises(Unsupported, match="signed-data"):
        opened(octets, bob())
    compressed = der.sequence(der.oid("1.2.840.113549.1.9.16.1.9"), der.explicit(0, der.sequence()))
    assert content.kind(compressed) == "compressed-data"
    unknown = der.sequence(der.oid("1.2.3.4"), der.explicit(0, der.sequence()))
    assert content.kind(unknown) == "1.2.3.4"


@pytest.mark.parametrize("kind", [*KINDS, "x25519"])
def test_everything_in_pieces(kind: KeyKind) -> None:
    """X.690 8.7: a sender that streams writes the key and the tag in pieces too."""
    made = join(encrypted(bob(kind)))
    assert opened(_in_pieces(ber.parse(made)), bob(kind)).content == TEXT


def _in_pieces(one: ber.Element) -> bytes:
    """Indefinite lengths wherever they may stand, and every OCTET STRING cut."""
    if one.is_constructed:
        return bytes([one.tag, 0x80]) + b"".join(map(_in_pieces, one.children())) + b"\0\0"
    if one.tag == der.OCTET_STRING:
        octets = one.octets()
        pieces = (der.octet_string(octets[at : at + 7]) for at in range(0, len(octets), 7))
        return b"\x24\x80" + b"".join(pieces) + b"\0\0"
    return one.raw
