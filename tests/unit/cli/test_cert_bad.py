"""What cannot be imported gets one clear sentence, and changes nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from tests.unit.cli.conftest import Gatepost
from tests.unit.pki.forge import forge, key

NOW = datetime.now(UTC)
OLD = forge("old", emails=["old@partner.example"], days=(-20, -10), key_name="old")
GOOD = forge("good", emails=["good@partner.example"], days=(-10, 36500), key_name="good")
OTHER = forge("other", emails=["other@partner.example"], days=(-10, 36500), key_name="other")
NOBODY = forge("nobody", emails=None, days=(-10, 36500), key_name="nobody")
PKCS8 = Encoding.PEM, PrivateFormat.PKCS8


def locked() -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"x", key("p256", "good"), GOOD.x509, None, BestAvailableEncryption(b"secret")
    )


def mismatched() -> bytes:
    plain: bytes = key("p256", "other").private_bytes(*PKCS8, NoEncryption())
    return plain + GOOD.pem.encode()


def locked_key() -> bytes:
    sealed: bytes = key("p256", "good").private_bytes(*PKCS8, BestAvailableEncryption(b"secret"))
    return sealed + GOOD.pem.encode()


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (OLD.pem.encode(), "old expired on "),
        (GOOD.der[:-20], "holds neither a certificate"),
        (GOOD.pem.replace("A", "!").encode(), "holds no certificate"),
        (b"hello", "holds neither a certificate"),
        (b"", "is empty"),
        (bytes(10 << 20), "is too large"),
        (GOOD.pem.encode() * 20_000, "is too large"),
        (GOOD.pem.encode() + b"x" * (10 << 20), "is too large"),
        (mismatched(), "no certificate given belongs to the private key"),
        (locked(), "passphrase"),
        (locked_key(), "passphrase"),
        (key("p256", "good").private_bytes(*PKCS8, NoEncryption()), "certificate"),
        ((GOOD.pem + NOBODY.pem).encode(), "nobody names no address"),
    ],
)
def test_one_sentence_and_no_change(
    gatepost: Gatepost, home: Path, tmp_path: Path, octets: bytes, said: str
) -> None:
    """Half an import would lie in the directory, or an administrator read a traceback."""
    path, secret = tmp_path / "given", tmp_path / "secret"
    path.write_bytes(octets)
    secret.write_text("wrong\n")
    before = gatepost("cert", "list", "--json").data
    ran = gatepost("cert", "import", path, "--passphrase-file", secret)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) <= 2, ran.err  # the sentence, and what to do
    assert "Traceback" not in ran.err
    assert gatepost("cert", "list", "--json").data == before


def test_of_several_the_ended_are_left_out(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """One old certificate in a file of a hundred would keep the others out."""
    path = tmp_path / "given.pem"
    path.write_text(OLD.pem + GOOD.pem)
    ran = gatepost("cert", "import", path)
    assert ran.code == 0
    assert "old expired on " in ran.err
    names = [one["name"] for one in gatepost("cert", "list", "--json").data]
    assert "good" in names
    assert "old" not in names
