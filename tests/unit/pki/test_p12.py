"""PKCS #12 and PEM files, in and out."""

import base64
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from tests.pki_builder import KeyKind, user
from tests.unit.pki.forge import authority, forge, key

from gatepost.errors import LimitExceeded, Malformed, Unsupported
from gatepost.pki import p12, pem
from gatepost.pki.p12 import Bundle
from gatepost.pki.pem import WrongPassword

ISSUING = authority("Issuing")
LEAF = forge("leaf", "Issuing", kind="rsa2048")
BUNDLE = Bundle(key("rsa2048", "leaf"), LEAF, (ISSUING,))


def test_what_is_written_is_read() -> None:
    """Exported keys would be lost."""
    data = p12.write(BUNDLE, "größe ☃")
    read = p12.read(data, "größe ☃")
    assert (read.certificate, read.issuers) == (LEAF, (ISSUING,))
    assert pem.write_key(read.key, None) == pem.write_key(BUNDLE.key, None)
    assert "PrivateKey" not in repr(read)


def test_wrong_passwords_and_other_files_are_told_apart() -> None:
    """A user would look for a broken file when he only mistyped."""
    data = p12.write(BUNDLE, "right")
    with pytest.raises(WrongPassword, match="does not open"):
        p12.read(data, "wrong")
    with pytest.raises(WrongPassword, match="needs a password"):
        p12.read(data, "")
    with pytest.raises(Malformed, match="not a PKCS #12 file"):
        p12.read(LEAF.der, "right")
    with pytest.raises(LimitExceeded):
        p12.read(bytes(pem.MAXIMUM_FILE + 1), "right")
    with pytest.raises(WrongPassword):
        p12.write(BUNDLE, "")


def test_damage_never_raises_anything_else() -> None:
    """An upload could stop the administrator's page."""
    data = p12.write(BUNDLE, "x")
    for cut in range(80):
        with pytest.raises((Malformed, WrongPassword)):
            p12.read(data[:cut], "x")


def test_an_absurd_number_of_rounds_is_refused_at_once() -> None:
    """One uploaded file would keep a processor busy for hours."""
    data = p12.write(BUNDLE, "x")
    rounds = b"\x02\x03" + p12.ROUNDS.to_bytes(3, "big")
    assert data.count(rounds) >= 2
    start = time.process_time()
    with pytest.raises(LimitExceeded, match="rounds"):
        p12.read(data.replace(rounds, b"\x02\x03\xff\xff\xff"), "x")
    assert time.process_time() - start < 0.5


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    "arguments", [[], ["-legacy"], ["-certpbe", "NONE", "-keypbe", "NONE", "-nomac"]]
)
def test_openssl_files_in(tmp_path: Path, arguments: list[str]) -> None:
    """Keys exported by Windows, Thunderbird or a CA could not be imported."""
    (tmp_path / "k.pem").write_bytes(pem.write_key(BUNDLE.key, None))
    (tmp_path / "c.pem").write_bytes((LEAF.pem + ISSUING.pem).encode())
    made = subprocess.run(
        [
            "openssl",
            "pkcs12",
            "-export",
            "-inkey",
            tmp_path / "k.pem",
            "-in",
            tmp_path / "c.pem",
            "-passout",
            "pass:x",
            *arguments,
        ],
        capture_output=True,
        check=True,
    ).stdout
    read = p12.read(made, "x")
    assert (read.certificate, read.issuers) == (LEAF, (ISSUING,))
    armored = b"-----BEGIN PKCS12-----\n" + base64.encodebytes(made) + b"-----END PKCS12-----\n"
    assert p12.read(armored, "x").certificate == LEAF


@pytest.mark.peer("openssl")
def test_openssl_reads_ours(tmp_path: Path) -> None:
    """No mail program could import what we export."""
    (tmp_path / "x.p12").write_bytes(p12.write(BUNDLE, "pw", "Alice"))
    read = subprocess.run(
        ["openssl", "pkcs12", "-in", tmp_path / "x.p12", "-passin", "pass:pw", "-nodes", "-info"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert read.stdout.count("BEGIN CERTIFICATE") == 2
    assert "BEGIN PRIVATE KEY" in read.stdout
    assert "PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256" in read.stderr


@pytest.mark.corpus
def test_the_corpus_files_open(corpus: Path) -> None:
    """Files made by GnuPG, NSS, Windows and OpenSSL over twenty years could not be imported."""
    folder = corpus / "gnupg-cms" / "keys"
    for name, password in (
        ("opensc-test.p12", "password"),
        ("ov-user.p12", "start"),
        ("t5793-openssl.pfx", "test"),
        ("t6752-ov-user-ff.p12", "start"),
        ("nistp256-openssl-self-signed.p12", "abc"),
        ("credential_private_encrypted_3DES.p12", "qeFGds84/Sf0eKkJwcp6"),
        ("credential_private_encrypted_AES256.p12", "qeFGds84/Sf0eKkJwcp6"),
    ):
        assert p12.read((folder / name).read_bytes(), password).certificate.name
    for path in corpus.rglob("*.p12"):
        try:
            p12.read(path.read_bytes(), "nss")
        except (Malformed, WrongPassword, Unsupported):
            continue


def test_keys_as_pem() -> None:
    """`cert import` of a key file would fail without a word why."""
    plain, sealed = pem.write_key(BUNDLE.key, None), pem.write_key(BUNDLE.key, "pw")
    assert pem.write_key(pem.read_key(sealed, "pw"), None) == plain
    assert pem.write_key(pem.read_key(plain, "needless"), None) == plain
    with pytest.raises(WrongPassword, match="password is needed"):
        pem.read_key(sealed)
    with pytest.raises(WrongPassword, match="does not open"):
        pem.read_key(sealed, "wrong")
    with pytest.raises(Malformed, match="no private key"):
        pem.read_key(LEAF.pem.encode())
    for damaged in ("3000", "302e020100300506032b656f04220420" + 32 * "05"):  # X448, too short
        with pytest.raises(Malformed):
            pem.read_key(bytes.fromhex(damaged))
    with pytest.raises(Unsupported, match="DSAPrivateKey"):
        pem.read_key(pem.write_key(key("dsa2048"), None))


NEWER: list[KeyKind] = ["x25519", "x448", "ml-dsa-44", "ml-dsa-87", "ml-kem-768", "ml-kem-1024"]


@pytest.mark.parametrize("kind", NEWER)
def test_newer_keys_as_pem(kind: KeyKind) -> None:
    """We encrypt and sign with kinds of keys that nobody could bring."""
    one = user("new@example.com", kind)
    key = pem.read_key(pem.write_key(one.key, "secret"), "secret")
    assert key.public_key() == one.key.public_key()
    with pytest.raises(Unsupported, match="PEM"):
        p12.write(Bundle(one.key, one.certificate), "secret")


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("form", [Encoding.DER, Encoding.PEM])
def test_bags_of_odd_certificates(form: Encoding) -> None:
    """Whoever fetches a stranger's bag ends with an error that nobody expects."""
    version = b"\xa0\x03\x02\x01\x02"
    assert LEAF.der.count(version) == 1
    whole = pkcs7.serialize_certificates([LEAF.x509], Encoding.DER)
    odd = whole.replace(version, b"\xa0\x03\x02\x01\x22")
    if form is Encoding.PEM:
        odd = b"-----BEGIN PKCS7-----\n" + base64.encodebytes(odd) + b"-----END PKCS7-----\n"
    with pytest.raises(Malformed):
        pem.read_certificates(odd)
    odd = LEAF.der.replace(version, b"\xa0\x03\x02\x01\x22")
    text = b"-----BEGIN CERTIFICATE-----\n%s-----END CERTIFICATE-----\n" % base64.encodebytes(odd)
    with pytest.raises(Malformed):
        pem.read_certificates(text)


def test_certificates_in_every_form(tmp_path: Path) -> None:
    """CAs deliver .cer, .crt, .pem and .p7b, and nobody knows which is which."""
    both = (LEAF.pem + ISSUING.pem).encode()
    (tmp_path / "c.pem").write_bytes(both)
    assert pem.read_certificates(b"Subject: text before\n" + both) == (LEAF, ISSUING)
    assert pem.read_certificates(LEAF.der) == (LEAF,)
    for form in ("DER", "PEM"):
        bag = subprocess.run(
            ["openssl", "crl2pkcs7", "-nocrl", "-certfile", tmp_path / "c.pem", "-outform", form],
            capture_output=True,
            check=True,
        ).stdout
        assert {LEAF, ISSUING} == set(pem.read_certificates(bag))
    for bad in (b"", b"hello", b"\x30\x82", pem.write_key(BUNDLE.key, None)):
        with pytest.raises(Malformed):
            pem.read_certificates(bad)
    with pytest.raises(LimitExceeded):
        pem.read_certificates(LEAF.pem.encode() * 1001)
