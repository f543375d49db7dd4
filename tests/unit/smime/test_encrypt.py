"""Encrypting and decrypting: all or nothing, and nothing left in clear."""

import base64
from dataclasses import replace

import pytest
from tests import pki_builder
from tests.unit.smime.letters import (
    BODY,
    HEADER,
    Chance,
    alice,
    bob,
    decrypt,
    encrypt,
    octets,
    sign,
    verify,
)

from gatepost.cms import enveloped
from gatepost.cms.capability import KeyTransport
from gatepost.cms.enveloped import NoRecipient
from gatepost.errors import DecryptionFailed, GatepostError, Refused, Unsupported
from gatepost.mail.content import Content, Octets, join
from gatepost.mime import canonical
from gatepost.mime.transfer import encode_base64
from gatepost.smime import encrypt as closing


def cms_octets(body: Content) -> bytes:
    """The CMS object in a base64 body."""
    return base64.b64decode(join(body))


CIPHERS = ("aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes192-gcm", "aes256-gcm")


@pytest.mark.parametrize("cipher", CIPHERS)
def test_what_was_encrypted_comes_back(cipher: str) -> None:
    """Bob reads what Alice wrote, octet for octet."""
    opened = decrypt(*encrypt(cipher=cipher))

    assert opened.header == HEADER
    assert join(opened.body) == BODY
    assert opened.report.cipher == cipher
    assert opened.report.authenticated is cipher.endswith("gcm")
    assert opened.report.suspicions == ()


@pytest.mark.parametrize("cipher", CIPHERS)
def test_nothing_of_the_body_is_outside(cipher: str) -> None:
    """The one promise an encrypting gateway makes."""
    message = octets(encrypt(cipher=cipher))

    assert b"ten thousand" not in message
    assert b"text/plain" not in message
    assert canonical.is_seven_bit(Octets(message))


@pytest.mark.parametrize(
    ("cipher", "kind"),
    [("aes256-cbc", b"enveloped-data"), ("aes256-gcm", b"authEnveloped-data")],
)
def test_smime_type_tells_the_envelope(cipher: str, kind: bytes) -> None:
    """RFC 8551 section 3.2.2: a reader that trusts the label must not be misled."""
    header, _ = encrypt(cipher=cipher)

    assert b"smime-type=" + kind + b";" in header
    assert b'filename="smime.p7m"' in header


@pytest.mark.parametrize("transport", ["rsa-pkcs1", "rsa-oaep"])
def test_recipients_of_every_kind_read_one_message(transport: str) -> None:
    """A customer with RSA keys and one with curve keys get the same mail."""
    users = (bob(), pki_builder.user("carol@example.net", "rsa2048"))
    family = closing.PKCS1 if transport == "rsa-pkcs1" else KeyTransport("rsa-oaep")
    message = encrypt(to=users, key_transport=family)

    for user in users:
        opened = decrypt(*message, user)
        assert join(opened.body) == BODY
        assert opened.report.recipients == 2
        assert opened.report.used == user.certificate


def test_nobody_is_refused() -> None:
    """An envelope for nobody is a message lost."""
    with pytest.raises(Refused):
        closing.encrypt(HEADER, Octets(BODY), [], cipher="aes256-gcm", entropy=Chance())


def test_a_cipher_we_do_not_make_gives_no_message() -> None:
    """A typing error in a policy must never end in clear text."""
    with pytest.raises(Unsupported):
        encrypt(cipher="3des-cbc")


def test_somebody_elses_key_opens_nothing() -> None:
    """Strict decryption: a copied message is not readable by another colleague."""
    with pytest.raises(NoRecipient):
        decrypt(*encrypt(), alice())


def test_a_changed_gcm_message_gives_nothing() -> None:
    """One bit flipped on the wire: no text, not even the part before it."""
    header, body = encrypt()
    text = bytearray(join(body))
    place = len(text) // 2
    text[place] = ord("A") if text[place] != ord("A") else ord("B")

    with pytest.raises(GatepostError):
        decrypt(header, bytes(text))


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
def test_failures_look_alike(cipher: str, kind: pki_builder.KeyKind) -> None:
    """A sender who can tell a wrong key from a wrong padding reads the mail bit by bit."""
    user = pki_builder.user("dora@example.net", kind)
    header, body = encrypt(to=(user,), cipher=cipher)
    damaged = bytearray(cms_octets(body))
    damaged[-1] ^= 0x40
    wrong = replace(user, key=pki_builder.private_key(kind, "another key"))

    for text, one in ((join(body), wrong), (encode_base64(bytes(damaged)), user)):
        with pytest.raises(DecryptionFailed) as caught:
            decrypt(header, text, one)
        assert str(caught.value) == "decryption failed"


def test_a_signature_survives_encryption() -> None:
    """Sign, then encrypt: the order every reader expects (RFC 8551 section 3.7)."""
    opened = decrypt(*encrypt(*sign()))

    assert verify(opened.header, opened.body).report.verdict.value == "valid"


def test_not_an_encrypted_message() -> None:
    """Calling decrypt on plain mail must say so, not return it as if it had been protected."""
    with pytest.raises(Unsupported):
        decrypt(HEADER, BODY)


def test_inner_subject_is_recorded_but_stays_inside() -> None:
    """A subject nobody compared with the outer one must not replace it."""
    inner = b"Content-Type: text/plain\r\nSubject: real\r\n\r\ntext\r\n"
    header, _ = encrypt(b"Subject: ...\r\n", b"")
    made = enveloped.encrypt(
        Octets(inner),
        [bob().certificate],
        cipher="aes256-gcm",
        key_transport=closing.PKCS1,
        entropy=Chance(),
    )
    opened = decrypt(header, encode_base64(join(made)))

    assert opened.report.inner_fields == ("subject",)
    assert b"Subject: real\r\n" in opened.inner_header
    assert b"Subject: ...\r\n" in opened.header
    assert b"real" not in opened.header


@pytest.mark.parametrize("cipher", ["aes128-cbc", "aes128-gcm"])
def test_text_without_a_header_is_read(cipher: str) -> None:
    """What NSS and OpenSSL encrypt from the command line is bare text; it would be lost."""
    header, _ = encrypt()
    made = enveloped.encrypt(
        Octets(b"This is a test message to Fran.\n"),
        [bob().certificate],
        cipher=cipher,
        key_transport=closing.PKCS1,
        entropy=Chance(),
    )

    assert b"to Fran" in join(decrypt(header, encode_base64(join(made))).body)


def test_cbc_gadgets_leave_traces() -> None:
    """EFAIL: a spliced CBC message opens without an error; the reader must be warned."""
    header, body = encrypt(HEADER, BODY * 20, cipher="aes256-cbc")
    cms = bytearray(cms_octets(body))
    for place in range(len(cms) - 400, len(cms) - 200):
        cms[place] ^= 0x55  # blocks in the middle of the ciphertext
    opened = decrypt(header, encode_base64(bytes(cms)))

    assert opened.report.authenticated is False
    assert opened.report.suspicions == ("the decrypted body holds control characters",)
