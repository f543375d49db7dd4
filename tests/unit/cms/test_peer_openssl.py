"""OpenSSL reads what Gatepost writes and Gatepost what OpenSSL writes, algorithm by algorithm."""

from __future__ import annotations

import os
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from tests.pki_builder import KeyKind, User, company_root, user

from gatepost.cms import content, enveloped, signed
from gatepost.cms.capability import KeyTransport, Password, Secret, SharedKey, SignatureScheme
from gatepost.mail.content import Octets, join

pytestmark = pytest.mark.peer("openssl")

TEXT = b"Content-Type: text/plain\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n" * 50

SCHEMES: list[tuple[KeyKind, SignatureScheme]] = [
    ("rsa2048", SignatureScheme("rsa-pkcs1", "sha256")),
    ("rsa2048", SignatureScheme("rsa-pkcs1", "sha512")),
    ("rsa3072", SignatureScheme("rsa-pss", "sha256")),
    ("rsa3072", SignatureScheme("rsa-pss", "sha384", 20)),
    ("p256", SignatureScheme("ecdsa", "sha256")),
    ("p384", SignatureScheme("ecdsa", "sha384")),
    ("p521", SignatureScheme("ecdsa", "sha512")),
    ("bp256", SignatureScheme("ecdsa", "sha256")),
    ("bp384", SignatureScheme("ecdsa", "sha384")),
]
CIPHERS = ["aes128-cbc", "aes192-cbc", "aes256-cbc", "aes128-gcm", "aes256-gcm"]
TRANSPORTS: list[tuple[KeyKind, KeyTransport]] = [
    ("rsa2048", KeyTransport("rsa-pkcs1")),
    ("rsa2048", KeyTransport("rsa-oaep", "sha1", "sha1")),
    ("rsa2048", KeyTransport("rsa-oaep", "sha256", "sha256")),
    ("rsa2048", KeyTransport("rsa-oaep", "sha512", "sha1")),
    ("p256", KeyTransport("rsa-pkcs1")),
    ("p384", KeyTransport("rsa-pkcs1")),
    ("p521", KeyTransport("rsa-pkcs1")),
    ("bp256", KeyTransport("rsa-pkcs1")),
    ("bp512", KeyTransport("rsa-pkcs1")),
]


def openssl(*arguments: str | Path, feed: bytes = b"") -> bytes:
    """Run `openssl cms` and give its output."""
    command = ["openssl", "cms", *map(str, arguments)]
    done = subprocess.run(command, input=feed, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def signer_files(folder: Path, kind: KeyKind) -> tuple[User, Path, Path, Path]:
    """A user, with certificate, key and trust anchor as files."""
    one = user(f"{kind}@example.com", kind)
    certificate, key = one.write(folder)
    anchor = folder / "anchor.pem"
    anchor.write_text(company_root().certificate.pem)
    return one, certificate, key, anchor


@pytest.mark.parametrize(("kind", "scheme"), SCHEMES)
@pytest.mark.parametrize("detached", [True, False])
def test_openssl_verifies_ours(
    tmp_path: Path, now: datetime, kind: KeyKind, scheme: SignatureScheme, detached: bool
) -> None:
    """Everybody whose mail program uses OpenSSL would see our signatures as broken."""
    one, _, _, anchor = signer_files(tmp_path, kind)
    made = join(signed.sign(Octets(TEXT), [one.signer], scheme, detached=detached, when=now))
    plain = tmp_path / "content"
    plain.write_bytes(TEXT)
    about = ("-content", plain) if detached else ()
    verify = ("-verify", "-inform", "DER", "-binary", "-CAfile", anchor, "-purpose", "any")
    at = ("-attime", str(int(now.timestamp())))
    assert openssl(*verify, *about, *at, feed=made) == TEXT


OPENSSL_SIGNING = [
    ("rsa2048", ("-md", "sha256")),
    ("rsa2048", ("-md", "sha1")),
    ("rsa2048", ("-md", "sha384", "-keyid")),
    ("rsa2048", ("-md", "sha256", "-noattr")),
    ("rsa2048", ("-md", "sha256", "-keyopt", "rsa_padding_mode:pss")),
    (
        "rsa2048",
        ("-md", "sha512", "-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:17"),
    ),
    ("p256", ("-md", "sha256")),
    ("p256", ("-md", "sha1")),
    ("p384", ("-md", "sha384", "-cades")),
    ("p521", ("-md", "sha512", "-noattr")),
]


def _forms(options: tuple[str, ...]) -> list[str]:
    # openssl 3.0 fails to stream what it signs with RSASSA-PSS ("illegal zero content")
    streams = not any("pss" in option for option in options)
    return ["detached", "opaque", *(["stream"] * streams)]


@pytest.mark.parametrize(
    ("kind", "options", "form"),
    [(kind, options, form) for kind, options in OPENSSL_SIGNING for form in _forms(options)],
)
def test_we_verify_openssls(
    tmp_path: Path, kind: KeyKind, options: tuple[str, ...], form: str
) -> None:
    """Valid mail from OpenSSL users would arrive marked as tampered with."""
    one, certificate, key, _ = signer_files(tmp_path, kind)
    how = {
        "detached": ("-nosmimecap",),
        "opaque": ("-nodetach",),
        "stream": ("-nodetach", "-stream"),
    }
    command = ("-sign", "-binary", "-outform", "DER", "-signer", certificate, "-inkey", key)
    made = openssl(*command, *how[form], *options, feed=TEXT)
    read = signed.parse(made)
    about = Octets(TEXT) if form == "detached" else None
    (verdict,) = signed.verify(read, about)
    assert verdict.intact, verdict.reason
    assert verdict.certificate == one.certificate
    assert verdict.weak == ("sha1" in options)
    assert read.content == (None if form == "detached" else TEXT)
    changed = Octets(TEXT + b"x")
    assert not signed.verify(read, changed)[0].intact


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize(("kind", "transport"), TRANSPORTS)
def test_openssl_decrypts_ours(
    tmp_path: Path, kind: KeyKind, transport: KeyTransport, cipher: str
) -> None:
    """Our mail would be unreadable for OpenSSL users."""
    one, certificate, key, _ = signer_files(tmp_path, kind)
    made = enveloped.encrypt(
        Octets(TEXT),
        [user("other@example.com", "p256").certificate, one.certificate],
        cipher=cipher,
        key_transport=transport,
        entropy=os.urandom,
    )
    command = ("-decrypt", "-inform", "DER", "-binary", "-recip", certificate, "-inkey", key)
    assert openssl(*command, feed=join(made)) == TEXT


OPENSSL_ENCRYPTING = [
    ("rsa2048", ()),
    ("rsa2048", ("-keyid",)),
    ("rsa2048", ("-keyopt", "rsa_padding_mode:oaep")),
    (
        "rsa2048",
        (
            "-keyopt",
            "rsa_padding_mode:oaep",
            "-keyopt",
            "rsa_oaep_md:sha256",
            "-keyopt",
            "rsa_mgf1_md:sha512",
            "-keyopt",
            "rsa_oaep_label:0102",
        ),
    ),
    ("p256", ()),
    ("p256", ("-keyopt", "ecdh_kdf_md:sha256", "-keyid")),
    ("p384", ("-keyopt", "ecdh_kdf_md:sha384")),
    ("p521", ("-keyopt", "ecdh_kdf_md:sha512", "-keyopt", "ecdh_cofactor_mode:1")),
]


@pytest.mark.parametrize("cipher", ["aes128", "aes-192-cbc", "aes256", "des3", "aes-256-gcm"])
@pytest.mark.parametrize(("kind", "options"), OPENSSL_ENCRYPTING)
@pytest.mark.parametrize("stream", [True, False])
def test_we_decrypt_openssls(
    tmp_path: Path, kind: KeyKind, options: tuple[str, ...], cipher: str, stream: bool
) -> None:
    """Mail encrypted with OpenSSL to our users would be lost."""
    one, certificate, _, _ = signer_files(tmp_path, kind)
    command = ("-encrypt", "-binary", "-outform", "DER", f"-{cipher}", *(["-stream"] * stream))
    made = openssl(*command, "-recip", certificate, *options, feed=TEXT)
    assert (made[1] == 0x80) == stream
    opened = enveloped.decrypt(made, [one.decryptor], entropy=os.urandom)
    assert opened.content == TEXT
    assert opened.authenticated == ("gcm" in cipher)
    assert opened.used == one.certificate
    assert len(enveloped.recipients(made)) == 1
    expected = "authenveloped-data" if "gcm" in cipher else "enveloped-data"
    assert content.kind(made) == expected


KEY = bytes(range(16))


@pytest.mark.parametrize("cipher", ["aes128", "aes256", "des3", "aes-256-gcm"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("options", "secret"),
    [
        (("-pwri_password", "secret"), Password(b"secret")),
        (("-secretkey", KEY.hex(), "-secretkeyid", "0102"), SharedKey(KEY, b"\x01\x02")),
    ],
)
def test_we_open_openssls_with_a_secret(
    options: tuple[str, ...], secret: Secret, cipher: str, stream: bool
) -> None:
    """Partners without certificates send a password by telephone."""
    if isinstance(secret, Password) and "gcm" in cipher:
        return  # OpenSSL wraps the key with the content's cipher and cannot write this
    command = ("-encrypt", "-binary", "-outform", "DER", f"-{cipher}", *(["-stream"] * stream))
    made = openssl(*command, *options, feed=TEXT)
    opened = enveloped.decrypt(made, [], entropy=os.urandom, secrets=[secret])
    assert (opened.content, opened.used) == (TEXT, None)
    assert opened.authenticated == ("gcm" in cipher)
    assert opened.weak == (cipher == "des3")
