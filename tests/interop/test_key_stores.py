"""Key stores as other programs write them, for `gatepost cert import --history`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.pki_builder import user

from gatepost.admin.history.credentials import Passwords, content
from gatepost.pki.pem import WrongPassword

PASSWORD = "correct horse"
BOTH = ("alice@example.com", "bob@example.com")


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, timeout=60)


def opened(path: Path) -> tuple[int, set[str]]:
    """How many keys are inside, and the addresses of the certificates."""
    octets = path.read_bytes()
    with pytest.raises(WrongPassword):
        content(octets, "wrong")
    found = Passwords(["wrong", PASSWORD]).opened(octets)
    return len(found.keys), {email for one in found.certificates for email in one.emails}


@pytest.mark.peer("keytool")
def test_java_keeps_all_keys_in_one_file(tmp_path: Path) -> None:
    """CipherMail's keys are such a store: all people but one would lose their old mail."""
    store = tmp_path / "store.p12"
    for address in BOTH:
        run(
            *("keytool", "-genkeypair", "-alias", address, "-keyalg", "EC", "-groupname"),
            *("secp256r1", "-dname", "CN=x", "-ext", f"SAN=email:{address}", "-storetype"),
            *("PKCS12", "-keystore", str(store), "-storepass", PASSWORD),
        )
    assert opened(store) == (2, set(BOTH))


@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    "form",
    [
        (),
        ("-legacy",),  # RC2 and 3DES, as Windows wrote until 2018
        ("-certpbe", "AES-256-CBC", "-keypbe", "AES-256-CBC", "-macalg", "sha512"),
        ("-certpbe", "NONE"),
        ("-nomac",),
    ],
)
def test_openssl(tmp_path: Path, form: tuple[str, ...]) -> None:
    """Each program has its own idea of the format's thirty algorithms."""
    certificate, key = user("alice@example.com").write(tmp_path)
    store = tmp_path / "store.p12"
    run(
        *("openssl", "pkcs12", "-export", "-in", str(certificate), "-inkey", str(key)),
        *("-out", str(store), "-passout", f"pass:{PASSWORD}", *form),
    )
    assert opened(store) == (1, {"alice@example.com"})
