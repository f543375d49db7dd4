"""Key and certificate files, right and wrong ones."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from tests import pki_builder
from tests.pki_builder import KeyKind

from gatepost.admin import credential
from gatepost.admin.credential import Credential, as_pem, as_pkcs12
from gatepost.errors import ConfigError


def given_credential(kind: KeyKind = "rsa2048") -> Credential:
    user = pki_builder.user(kind=kind)
    return Credential(user.certificate, user.chain, user.key)


def never() -> bytes:
    raise AssertionError("asked for a passphrase")


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
@pytest.mark.parametrize("write", [as_pem, as_pkcs12])
@pytest.mark.parametrize("secret", [b"geheim", "пароль".encode()])
def test_what_is_written_is_read(
    tmp_path: Path, kind: KeyKind, write: object, secret: bytes
) -> None:
    """An exported key is lost."""
    given_one, path = given_credential(kind), tmp_path / "key"
    path.write_bytes((as_pem if write is as_pem else as_pkcs12)(given_one, secret))
    found = credential.read(path, lambda: secret)
    assert (found.certificate, found.chain) == (given_one.certificate, given_one.chain)
    assert credential.is_key_file(path)
    with pytest.raises(ConfigError, match="does not open"):
        credential.read(path, lambda: b"wrong")


def test_no_passphrase_where_none_is_needed(tmp_path: Path) -> None:
    """A script stops at a question that has no answer."""
    path = tmp_path / "key.pem"
    path.write_bytes(as_pem(given_credential(), b""))
    assert credential.read(path, never).chain


def test_the_right_certificate_is_found(tmp_path: Path) -> None:
    """A key is used with somebody else's certificate."""
    given_one, path = given_credential(), tmp_path / "key.pem"
    path.write_bytes(pki_builder.user(kind="rsa2048").key_pem)
    beside = tmp_path / "many.pem"
    others = [pki_builder.user("x@example.com"), pki_builder.user(kind="rsa2048")]
    beside.write_text("".join(one.certificate.pem for one in others))
    assert credential.read(path, never, [beside]).certificate == given_one.certificate
    with pytest.raises(ConfigError, match="no certificate was given for the private key"):
        credential.read(path, never)


def test_der_files(tmp_path: Path) -> None:
    """Files as Windows makes them are refused."""
    key, certificate = tmp_path / "key.der", tmp_path / "user.cer"
    user = pki_builder.user()
    key.write_bytes(user.key_der)
    certificate.write_bytes(user.certificate.x509.public_bytes(Encoding.DER))
    assert credential.read(key, never, [certificate]).certificate == user.certificate
    assert not credential.is_key_file(certificate)


def test_a_key_is_not_printed() -> None:
    """A private key stands in a log."""
    assert "key=" not in repr(given_credential())


@given(octets=st.binary(max_size=300))
def test_rubbish_is_a_complaint(tmp_path_factory: pytest.TempPathFactory, octets: bytes) -> None:
    """A wrong file ends in a traceback."""
    path = tmp_path_factory.getbasetemp() / "rubbish"
    path.write_bytes(octets)
    for read in (lambda: credential.read(path, never), lambda: credential.certificates_in(path)):
        with pytest.raises(ConfigError):
            read()


@pytest.mark.parametrize(
    "octets",
    [
        b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"-----BEGIN RUBBISH-----\n",
    ],
)
def test_broken_pem_is_a_complaint(tmp_path: Path, octets: bytes) -> None:
    """A file cut short ends in a traceback."""
    path = tmp_path / "broken.pem"
    path.write_bytes(octets)
    for read in (lambda: credential.read(path, never), lambda: credential.certificates_in(path)):
        with pytest.raises(ConfigError):
            read()


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    """A disk image given by mistake fills the memory."""
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(credential.MAXIMUM_SIZE + 1)
    with pytest.raises(ConfigError, match="too large"):
        credential.read(path, never)
