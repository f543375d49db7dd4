"""Content ciphers nobody should write any more, or few do: read all the same, and bounded."""

from __future__ import annotations

import os
from datetime import datetime

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tests.pki_builder import User, user

from gatepost.cms import (
    algorithms,
    attributes,
    content,
    der,
    designation,
    enveloped,
    identifier,
    moment,
)
from gatepost.cms.capability import KeyTransport
from gatepost.cms.enveloped import Decrypted
from gatepost.errors import DecryptionFailed, GatepostError, Malformed, Unsupported

TEXT = b"Content-Type: text/plain\r\n\r\nHello\r\n"
PKCS1 = KeyTransport("rsa-pkcs1")
OAEP = KeyTransport("rsa-oaep", "sha1", "sha1")


def bob() -> User:
    """The recipient."""
    return user("bob@example.com", "rsa2048")


def transported(key: bytes, transport: KeyTransport = OAEP) -> bytes:
    """A KeyTransRecipientInfo for the recipient."""
    public = bob().certificate.public_key
    assert isinstance(public, rsa.RSAPublicKey)
    sha1 = hashes.SHA1()
    oaep = padding.OAEP(padding.MGF1(sha1), sha1, None)
    encrypted = public.encrypt(key, padding.PKCS1v15() if transport == PKCS1 else oaep)
    return der.sequence(
        der.integer(0),
        designation.issuer_and_serial(bob().certificate),
        identifier.transport_identifier(transport),
        der.octet_string(encrypted),
    )


def built(
    key: bytes,
    algorithm: bytes,
    ciphertext: bytes,
    tag: bytes | None = None,
    *,
    said: bytes = b"",
    transport: KeyTransport = OAEP,
) -> bytes:
    """Either structure; `said` are the authenticated attributes, a SET OF."""
    kind = content.ENVELOPED_DATA if tag is None else content.AUTHENVELOPED_DATA
    body = der.sequence(
        der.integer(0),
        der.set_of(transported(key, transport)),
        der.sequence(der.tlv(0x06, content.DATA), algorithm, der.tlv(0x80, ciphertext)),
        b"\xa1" + said[1:] if said else b"",
        b"" if tag is None else der.octet_string(tag),
    )
    return der.sequence(der.tlv(0x06, kind), der.explicit(0, body))


def named(name: str, *parameters: bytes) -> bytes:
    """An AlgorithmIdentifier."""
    return der.sequence(der.oid(algorithms.BY_NAME[name].oid), *parameters)


def opened(octets: bytes) -> Decrypted:
    """What the recipient reads."""
    return enveloped.decrypt(octets, [bob().decryptor], entropy=os.urandom)


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("tag", [12, 14, 16])
def test_ccm(size: int, tag: int) -> None:
    """RFC 5084: some smart-card mail programs write it; the tag's length defaults to 12."""
    key, nonce = os.urandom(size), os.urandom(13 if tag == 16 else 7)
    said = der.set_of(der.sequence(der.oid("1.2.3.4"), der.set_of(der.NULL)))
    whole = AESCCM(key, tag).encrypt(nonce, TEXT, said)
    length = b"" if tag == 12 else der.integer(tag)
    algorithm = named(f"aes{size * 8}-ccm", der.sequence(der.octet_string(nonce), length))
    octets = built(key, algorithm, whole[:-tag], whole[-tag:], said=said)
    found = opened(octets)
    assert (found.content, found.authenticated) == (TEXT, True)
    assert (found.cipher, found.weak) == (f"aes{size * 8}-ccm", False)
    for forged in (
        built(key, algorithm, whole[:-tag], bytes(tag), said=said),
        built(key, algorithm, bytes([whole[0] ^ 1]) + whole[1:-tag], whole[-tag:], said=said),
        built(key, algorithm, whole[:-tag], whole[-tag:]),
        built(key, algorithm, whole[:-tag], whole[-tag:] + b"x", said=said),
    ):
        with pytest.raises(GatepostError):
            opened(forged)


@pytest.mark.parametrize("tag", [12, 13, 14, 15, 16])
def test_gcm_tags(tag: int) -> None:
    """RFC 5084 3.2: 12 when the length is not said; a tag cut shorter than said is a forgery."""
    key, nonce = os.urandom(32), os.urandom(12)
    whole = AESGCM(key).encrypt(nonce, TEXT, None)
    body, full = whole[:-16], whole[-16:]
    silent = named("aes256-gcm", der.sequence(der.octet_string(nonce)))
    spoken = named("aes256-gcm", der.sequence(der.octet_string(nonce), der.integer(tag)))
    assert opened(built(key, spoken, body, full[:tag])).content == TEXT
    assert opened(built(key, silent, body, full[:tag])).content == TEXT  # longer than 12: better
    assert opened(built(key, spoken, body + full[:tag])).content == TEXT
    with pytest.raises(GatepostError):
        opened(built(key, spoken, body, full[: tag - 1]))
    forged = full[: tag - 1] + bytes((full[tag - 1] ^ 1,))
    with pytest.raises(DecryptionFailed):
        opened(built(key, spoken, body, forged))


def padded(octets: bytes, block: int) -> bytes:
    """PKCS #7 padding."""
    count = block - len(octets) % block
    return octets + bytes((count,)) * count


def test_rc2() -> None:
    """RC2 with 128 bits was Outlook's before 3DES; with 40 it is refused by name."""
    key, iv = os.urandom(16), os.urandom(8)
    context = Cipher(RC2(key), modes.CBC(iv)).encryptor()
    ciphertext = context.update(padded(TEXT, 8)) + context.finalize()

    def parameters(version: int) -> bytes:
        return der.sequence(der.integer(version), der.octet_string(iv))

    found = opened(built(key, named("rc2-cbc", parameters(58)), ciphertext))
    assert (found.content, found.cipher, found.weak) == (TEXT, "rc2-cbc", True)
    with pytest.raises(Unsupported, match="less than 128"):
        opened(built(key, named("rc2-cbc", parameters(160)), ciphertext))
    for broken in (der.sequence(), der.sequence(der.integer(58), der.octet_string(b"short"))):
        with pytest.raises(Malformed):
            opened(built(key, named("rc2-cbc", broken), ciphertext))


def test_cbc_with_a_tag() -> None:
    """CBC authenticates nothing: AuthEnvelopedData with it is nonsense."""
    algorithm = named("aes128-cbc", der.octet_string(b"i" * 16))
    with pytest.raises(Unsupported):
        opened(built(os.urandom(16), algorithm, b"x" * 16, b"t" * 16))


def test_the_authenticated_content_type(now: datetime) -> None:
    """RFC 5083 section 2.1: else what is in the envelope could be relabelled on the way."""
    key, nonce = os.urandom(32), os.urandom(12)
    algorithm = named("aes256-gcm", der.sequence(der.octet_string(nonce), der.integer(16)))
    for kind, fits in ((content.DATA, True), (content.SIGNED_DATA, False)):
        said = der.set_of(
            attributes.attribute(attributes.CONTENT_TYPE, der.tlv(0x06, kind)),
            attributes.attribute(attributes.SIGNING_TIME, moment.compose(now)),
        )
        whole = AESGCM(key).encrypt(nonce, TEXT, said)
        octets = built(key, algorithm, whole[:-16], whole[-16:], said=said)
        if fits:
            assert opened(octets).content == TEXT
        else:
            with pytest.raises(Malformed, match="content type"):
                opened(octets)


def derived(key: bytes, inner: bytes) -> bytes:
    """RFC 9709 section 2."""
    salt = b"The Cryptographic Message Syntax"
    return HKDF(hashes.SHA256(), len(key), salt, inner).derive(key)


def test_a_derived_key() -> None:
    """RFC 9709: against turning GCM into CBC; the key of one cipher is not that of another."""
    key, nonce = os.urandom(32), os.urandom(12)
    inner = named("aes256-gcm", der.sequence(der.octet_string(nonce), der.integer(16)))
    whole = AESGCM(derived(key, inner)).encrypt(nonce, TEXT, None)
    outer = named("cek-hkdf-sha256", inner)
    assert opened(built(key, outer, whole[:-16], whole[-16:])).content == TEXT
    with pytest.raises(DecryptionFailed):
        opened(built(key, inner, whole[:-16], whole[-16:]))
    with pytest.raises(Malformed):
        opened(built(key, named("cek-hkdf-sha256"), whole[:-16], whole[-16:]))
    with pytest.raises(Unsupported):
        opened(built(key, named("cek-hkdf-sha256", outer), whole[:-16], whole[-16:]))


def test_a_key_nothing_proves() -> None:
    """PKCS #1 v1.5 with CBC: of garbage whose padding happens to fit, `smime` must know."""
    key, iv = os.urandom(16), os.urandom(16)
    context = Cipher(AES(key), modes.CBC(iv)).encryptor()
    ciphertext = context.update(padded(TEXT, 16)) + context.finalize()
    algorithm = named("aes128-cbc", der.octet_string(iv))
    assert opened(built(key, algorithm, ciphertext, transport=PKCS1)).unproven
    assert not opened(built(key, algorithm, ciphertext, transport=OAEP)).unproven
    nonce = os.urandom(12)
    whole = AESGCM(key).encrypt(nonce, TEXT, None)
    gcm = named("aes128-gcm", der.sequence(der.octet_string(nonce), der.integer(16)))
    assert not opened(built(key, gcm, whole[:-16], whole[-16:], transport=PKCS1)).unproven
    garbage = 0
    for _ in range(20_000):  # of 256 some fit
        wrong = built(os.urandom(24), algorithm, os.urandom(16), transport=PKCS1)
        try:
            found = opened(wrong)
        except DecryptionFailed:
            continue
        garbage += 1
        assert found.unproven
        if garbage == 2:
            return
