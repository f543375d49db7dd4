"""Large objects are read as small ones are: nothing is signed or opened by size."""

from __future__ import annotations

import os
import random
import time
import zlib
from collections.abc import Callable
from datetime import datetime

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from tests.pki_builder import User, user

from gatepost.cms import (
    algorithms,
    ber,
    bulk,
    ccm,
    cipher,
    compressed,
    content,
    der,
    enveloped,
    signed,
)
from gatepost.cms.bulk import Bulk
from gatepost.cms.capability import KeyTransport
from gatepost.cms.cipher import ContentCipher
from gatepost.cms.compressed import HARMLESS
from gatepost.errors import DecryptionFailed, GatepostError, LimitExceeded, Malformed, Unavailable
from gatepost.mail.content import Content, Octets, Rope, Slice, join

PKCS1 = KeyTransport("rsa-pkcs1")
TEXT = random.Random(5652).randbytes(3000)
EOC = b"\x00\x00"


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """No content is held as a whole."""
    monkeypatch.setattr("gatepost.mail.content.LARGE", -1)


def bob() -> User:
    """The recipient."""
    return user("bob@example.com", "rsa2048")


def chunked(octets: bytes, size: int = 1000) -> Content:
    """The octets as they come from a file."""
    return Rope(tuple(Octets(octets[at : at + size]) for at in range(0, len(octets), size)))


def streamed(element: ber.Element, piece: int = 100) -> bytes:
    """The same as OpenSSL and BouncyCastle write what they do not know the end of."""
    if element.tag in (der.OCTET_STRING, 0x80) and element.outer - element.inner > piece:
        value = element.source.octets[element.inner : element.outer]
        parts = (value[at : at + piece] for at in range(0, len(value), piece))
        tag = 0x24 if element.tag == der.OCTET_STRING else 0xA0
        return bytes((tag, 0x80)) + b"".join(map(der.octet_string, parts)) + EOC
    return element.raw


def made_indefinite(octets: bytes) -> bytes:
    """The outer levels of a ContentInfo without lengths, its content in pieces."""

    def level(element: ber.Element, path: tuple[int, ...]) -> bytes:
        inner = [
            level(child, path[1:]) if path[:1] == (number,) else streamed(child)
            for number, child in enumerate(element.children())
        ]
        return bytes((element.tag, 0x80)) + b"".join(inner) + EOC

    is_signed = content.kind(octets) in ("signed-data", "compressed-data")
    return level(ber.parse(octets), (1, 0, 2, 1) if is_signed else (1, 0, 2))


def messages(now: datetime) -> list[bytes]:
    """Every kind of object, as DER."""
    signer = user("alice@example.com", "p256").signer
    plain = Octets(TEXT)
    return [
        join(signed.sign(plain, [signer], None, detached=False, when=now)),
        join(signed.sign(plain, [signer], None, detached=True, when=now)),
        *(
            join(
                enveloped.encrypt(
                    plain, [bob().certificate], cipher=name, key_transport=PKCS1, entropy=os.urandom
                )
            )
            for name in ("aes256-gcm", "aes128-cbc")
        ),
    ]


def read(octets: bytes | Bulk, kind: str) -> object:
    """What the object says, or how it is refused."""
    try:
        if kind == "signed-data":
            one = signed.parse(octets)
            return (one.content, one.certificates, one.signers, one.declared, one.content_type)
        found = enveloped.parse(octets)
        plain = enveloped.decrypt(octets, [bob().decryptor], entropy=bytes).content
        return (found.recipients, found.algorithm, found.tag, join(found.sealed), plain)
    except GatepostError as error:
        return error.reply


@pytest.mark.parametrize("form", [bytes, made_indefinite])
@pytest.mark.usefixtures("everything_is_large")
def test_the_same_is_read(form: Callable[[bytes], bytes], now: datetime) -> None:
    """Large mail of any writer is opened, and verified over what was signed."""
    for octets in map(form, messages(now)):
        kind = content.kind(octets)
        expected = read(octets, kind)
        assert isinstance(expected, tuple)
        assert len(expected) > 4
        for size in (1, 50, 1000, len(octets)):
            whole = Bulk(chunked(octets, size))
            assert whole.kind == kind
            assert read(whole, kind) == expected
            assert len(whole.parts[0]) < len(octets) or kind == "signed-data"


@pytest.mark.usefixtures("everything_is_large")
def test_changed_objects_are_refused_alike(now: datetime) -> None:
    """What the small reader refuses, the large one must not accept."""
    chance = random.Random(690)
    seeds = [form(one) for one in messages(now) for form in (bytes, made_indefinite)]
    inserted = (EOC, b"\x04\x01a", b"\x24\x80\x00\x00", b"\x80", b"\x30\x80")
    for number in range(1500):
        octets = bytearray(seeds[number % len(seeds)])
        kind = content.kind(bytes(octets))
        for _ in range(chance.randrange(1, 3)):
            at = chance.randrange(min(len(octets), chance.choice((60, 1500, 10_000))))
            match chance.randrange(4):
                case 0:
                    octets[at] ^= 1 << chance.randrange(8)
                case 1:
                    del octets[at : at + chance.randrange(1, 4)]
                case 2:
                    octets[at:at] = chance.choice(inserted)
                case _:
                    octets[at] = chance.choice(b"\x80\x24\xa0\x30\x04\x00\x81")
        small, large = read(bytes(octets), kind), read(Bulk(chunked(bytes(octets))), kind)
        assert small == large or not isinstance(large[0], tuple | bytes)  # type: ignore[index]


def signed_around(value: bytes) -> bytes:
    """A SignedData with this content and nothing else."""
    inside = der.sequence(der.tlv(0x06, content.DATA), der.explicit(0, value))
    body = der.sequence(der.integer(1), der.set_of(), inside, der.set_of())
    return der.sequence(der.tlv(0x06, content.SIGNED_DATA), der.explicit(0, body))


def test_hostile_objects() -> None:
    """Neither tiny pieces nor deep ones nor endless certificates take time or memory."""
    tiny = b"\x04\x01x" * (20 * 1024 * 1024 // 3)
    for value in (der.tlv(0x24, tiny), b"\x24\x80" + tiny + EOC):
        octets = signed_around(value)
        for whole in (octets, Bulk(chunked(octets, 65536))):
            assert min(_refused(whole) for _ in range(3)) < 0.5
    for value in (b"\x24\x80" * 50 + EOC * 50, b"\x30\x80" * 50 + EOC * 50):
        with pytest.raises(LimitExceeded, match="deep"):
            signed.parse(Bulk(Octets(signed_around(value))))
    many = der.explicit(0, der.sequence(bytes(bulk.MAXIMUM_FRAME)))
    body = der.sequence(der.integer(1), der.set_of(), der.sequence(der.NULL), many)
    with pytest.raises(LimitExceeded, match="beside"):
        signed.parse(
            Bulk(Octets(der.sequence(der.tlv(0x06, content.SIGNED_DATA), der.explicit(0, body))))
        )


def _refused(octets: bytes | Bulk) -> float:
    start = time.process_time()
    with pytest.raises(LimitExceeded, match="warrants"):
        signed.parse(octets)
    return time.process_time() - start


@pytest.mark.parametrize("octets", [b"", b"\x30", b"\x30\x80", b"\x31\x00", b"\x30\x02\x05\x00"])
def test_what_is_no_object(octets: bytes) -> None:
    """A mail that only says it is S/MIME."""
    for name in ("kind", "parts"):
        with pytest.raises(Malformed):
            getattr(Bulk(Octets(octets)), name)


def test_an_end_of_nothing() -> None:
    """Two octets that end an indefinite length: one reader's element and the other's end."""
    for value in (der.tlv(0x00, TEXT), b"\x00\x00", der.octet_string(TEXT) + EOC * 2):
        octets = signed_around(value)
        for whole in (octets, Bulk(chunked(octets))):
            with pytest.raises(Malformed):
                signed.parse(whole)


CIPHERS = ["aes256-gcm", "aes128-cbc", "3des-cbc", "aes128-ccm"]


def sealed(name: str, text: bytes) -> tuple[ContentCipher, bytes, bytes]:
    """Text under a fresh key: cipher, ciphertext, tag."""
    algorithm = algorithms.BY_NAME[name]
    sizes = {"gcm": 12, "ccm": 11, "cbc": 8 if name.startswith("3des") else 16}
    drawn = ContentCipher(
        algorithm, os.urandom(algorithm.size), os.urandom(sizes[algorithm.family])
    )
    if algorithm.family == "ccm":
        made = AESCCM(drawn.key, 12).encrypt(drawn.iv, text, b"said")
        return drawn, made[:-12], made[-12:]
    if algorithm.family == "gcm":
        context = Cipher(AES(drawn.key), modes.GCM(drawn.iv)).encryptor()
        context.authenticate_additional_data(b"said")
        made = context.update(text)
        context.finalize()
        return drawn, made, context.tag
    block = len(drawn.iv)
    count = block - len(text) % block
    context_ = Cipher(cipher.block_cipher(drawn), modes.CBC(drawn.iv)).encryptor()
    return drawn, context_.update(text + bytes((count,)) * count), b""


@pytest.mark.parametrize("name", CIPHERS)
@pytest.mark.usefixtures("everything_is_large")
def test_large_content_is_decrypted_as_small_is(name: str) -> None:
    """Each reading gives the same octets, as many as were announced."""
    for size in (0, 1, 15, 16, 17, 3000):
        drawn, made, tag = sealed(name, TEXT[:size])
        assert cipher.decrypt(drawn, [made], tag, b"said") == TEXT[:size]
        for chunk in (1, 16, 999):
            found = cipher.decrypted(drawn, chunked(made, chunk), tag, b"said")
            assert not isinstance(found, Octets)
            assert (found.size, join(found), join(found)) == (size, TEXT[:size], TEXT[:size])


@pytest.mark.parametrize("name", CIPHERS)
@pytest.mark.usefixtures("everything_is_large")
def test_nothing_unproven_is_released(name: str) -> None:
    """EFAIL: a reader that gets octets before the tag is checked has been lied to."""
    drawn, made, tag = sealed(name, TEXT)
    wrong = [made[:-1] + bytes((made[-1] ^ 1,)), made[:-1]]
    if tag:
        wrong.append(bytes((made[0] ^ 1,)) + made[1:])
        with pytest.raises(DecryptionFailed):
            cipher.decrypted(drawn, chunked(made), tag[:-1] + bytes((tag[-1] ^ 1,)), b"said")
        with pytest.raises(DecryptionFailed):
            cipher.decrypted(drawn, chunked(made), tag, b"other")
    for octets in wrong:
        try:
            found = cipher.decrypted(drawn, chunked(octets), tag, b"said")
        except DecryptionFailed:
            continue
        assert not tag  # nothing but its padding proves CBC
        assert join(found)[:-16] != TEXT[:-16] or join(found) != TEXT


@pytest.mark.usefixtures("everything_is_large")
def test_content_that_changes_while_it_is_read() -> None:
    """Only a broken disk could do that; still nobody gets it as proven."""
    drawn, made, tag = sealed("aes256-gcm", TEXT)

    class Changing:
        size = len(made)
        readings = 0

        def chunks(self):  # type: ignore[no-untyped-def]
            self.readings += 1
            yield made if self.readings == 1 else bytes(len(made))

    found = cipher.decrypted(drawn, Changing(), tag, b"said")
    with pytest.raises(Unavailable, match="changed"):
        join(found)


@pytest.mark.parametrize("nonce", [7, 11, 13])
@pytest.mark.parametrize("said", [0, 1, 14, 70_000])
def test_ccm(nonce: int, said: int) -> None:
    """Our CCM is the library's."""
    key, iv, extra = os.urandom(16), os.urandom(nonce), bytes(said)
    for size in (0, 5, 16, 3000):
        made = AESCCM(key, 16).encrypt(iv, TEXT[:size], extra)
        text, tag = chunked(made[:-16], 7), made[-16:]
        assert b"".join(ccm.decrypt(key, iv, text, tag, extra)) == TEXT[:size]
        with pytest.raises(InvalidTag):
            list(ccm.decrypt(key, iv, text, tag, extra + b"x"))
    if nonce == 13:
        with pytest.raises(ValueError, match="long"):
            list(ccm.decrypt(key, iv, Slice(Octets(b""), 0, 65536), bytes(16), b""))


def test_large_compressed_content() -> None:
    """A table of many megabytes is inflated while it is read."""
    text = random.Random(3).randbytes(100_000) + bytes(HARMLESS)
    packed = zlib.compress(text)
    kind = der.sequence(der.oid("1.2.840.113549.1.9.16.3.8"))
    value = der.explicit(0, der.octet_string(packed))
    inner = der.sequence(der.tlv(0x06, content.DATA), value)
    body = der.explicit(0, der.sequence(der.integer(0), kind, inner))
    octets = der.sequence(der.tlv(0x06, content.COMPRESSED_DATA), body)
    for whole in (
        octets,
        made_indefinite(octets),
        Bulk(chunked(octets)),
        Bulk(chunked(made_indefinite(octets))),
    ):
        found = compressed.decompress(whole).plain
        assert not isinstance(found, Octets)
        assert (found.size, join(found) == text, join(found) == text) == (len(text), True, True)
