"""`gatepost key`: nobody carries a private key away alone, and it is remembered who did."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, pkcs12
from cryptography.x509.oid import NameOID
from tests.peers.hsm import begin
from tests.pki_builder import BORN, company
from tests.unit.cli.conftest import Gatepost

from gatepost.admin.ceremony import EXPORTS
from gatepost.config import load
from gatepost.engine.service import Stores
from gatepost.mail.address import Mailbox
from gatepost.store.register import Register
from gatepost.vault.held import HeldDecryptor
from gatepost.vault.token import Token

ONE, OTHER = "correct horse battery", "staple in the barn"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(ONE + "\n")
    second.write_text(OTHER + "\n")
    return first, second


def test_there_and_back(
    gatepost: Gatepost, home: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """A key that left at a ceremony could not be brought back, or one administrator opened it."""
    assert gatepost("cert", "issue", "alice@example.com", "--kind", "sign").code == 0
    out, given = tmp_path / "alice.p12", ("--first", files[0], "--second", files[1])
    ran = gatepost("key", "export", "alice@example.com", "-o", out, *given, "--json")
    assert ran.code == 0, ran.err
    octets = out.read_bytes()
    assert out.stat().st_mode & 0o777 == 0o600
    assert pkcs12.load_pkcs12(octets, (ONE + OTHER).encode()).key is not None
    for alone in (ONE, OTHER, OTHER + ONE):
        with pytest.raises(ValueError, match="password"):
            pkcs12.load_pkcs12(octets, alone.encode())
    assert ran.data["fingerprint"] in gatepost("key", "exports").out
    assert gatepost("key", "export", "alice@example.com", "-o", out, *given).code == 2
    gone = gatepost("cert", "delete", ran.data["fingerprint"], "--with-key")
    assert gone.code == 0, gone.err
    back = gatepost("key", "import", out, *given)
    assert back.code == 0, back.err
    assert gatepost("key", "export", "alice@example.com", "-o", tmp_path / "2", *given).code == 0
    assert len(gatepost("key", "exports", "--json").data["exports"]) == 2


def test_two_exports_at_once_are_both_remembered(
    gatepost: Gatepost,
    home: Path,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever exports in the same second as somebody else leaves no trace."""
    gatepost("cert", "issue", "alice@example.com", "--kind", "sign")
    swap, others = Register.swap, ["2026-06-01 a key left by somebody else"]

    def later(self: Register, name: str, old: str | None, new: str | None) -> bool:
        if name == EXPORTS and others:
            swap(self, name, old, others.pop())
        return swap(self, name, old, new)

    monkeypatch.setattr(Register, "swap", later)
    given = ("--first", files[0], "--second", files[1])
    ran = gatepost("key", "export", "alice@example.com", "-o", tmp_path / "1", *given, "--json")
    lines = gatepost("key", "exports", "--json").data["exports"]
    assert lines == ["2026-06-01 a key left by somebody else", ran.data["remembered"]]


def test_two_different_passphrases(
    gatepost: Gatepost, home: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """One administrator would play both."""
    gatepost("cert", "issue", "alice@example.com", "--kind", "sign")
    out = tmp_path / "alice.p12"
    words = ("key", "export", "alice@example.com", "-o", out, "--first", files[0], "--second")
    same = gatepost(*words, files[0])
    assert (same.code, "the same" in same.err) == (2, True)
    files[1].write_text("short")
    assert gatepost(*words, files[1]).code == 2
    assert not out.exists()
    assert gatepost("key", "exports", "--json").data["exports"] == []


def test_no_way_around(gatepost: Gatepost, home: Path, tmp_path: Path) -> None:
    """`cert export` would give what `key export` refuses."""
    config = home / "gatepost.toml"
    config.write_text(config.read_text().replace("[vault]\n", "[vault]\nfour_eyes = true\n"))
    (tmp_path / "one").write_text(ONE)
    words = ("cert", "export", "ca", "--with-key", "--passphrase-file", tmp_path / "one")
    ran = gatepost(*words, "--output", tmp_path / "out")
    assert ran.code == 2
    assert "gatepost key export" in ran.err


def certified(public: ec.EllipticCurvePublicKey) -> bytes:
    """What a CA makes of a request that the token's own tools wrote."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Alice")])
    mailbox = x509.SubjectAlternativeName([x509.RFC822Name("alice@example.com")])
    made = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(BORN)
        .not_valid_after(BORN + timedelta(days=365))
        .add_extension(mailbox, critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM)


@pytest.mark.peer("softhsm2-util")
def test_key_made_in_the_token(
    gatepost: Gatepost, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of an HSM's own ceremony could not be used, or only after leaving it."""
    tokens = begin(tmp_path, monkeypatch)
    tokens.make("ours")
    ran = gatepost("key", "adopt", "alice", "--certificate", home / "tls-certificate.pem")
    assert (ran.code, "no [vault.token]" in ran.err) == (2, True)
    path = home / "gatepost.toml"
    path.write_text(path.read_text() + "\n" + tokens.settings("ours"))
    token = Token(tokens.module, "ours", tokens.pin_file.read_text().strip)
    _, public = token.make("p256", "alice")
    assert isinstance(public, ec.EllipticCurvePublicKey)
    certificate, other = tmp_path / "alice.pem", tmp_path / "other.pem"
    other.write_text(company().user("alice@example.com", kind="p256").certificate.pem)
    certificate.write_bytes(certified(public))
    words = ("key", "adopt", "alice", "--certificate")
    ran = gatepost(*words, other)
    assert (ran.code, "belongs to the key 'alice' in the token" in ran.err) == (2, True)
    ran = gatepost("key", "adopt", "nobody", "--certificate", certificate)
    assert (ran.code, "0 public keys labelled 'nobody'" in ran.err) == (2, True)
    ran = gatepost(*words, certificate, "--json")
    assert ran.code == 0, ran.err
    stores = Stores.open(load(path))
    try:
        (decryptor,) = stores.vault.decryptors_for(Mailbox.parse("alice@example.com"))
        assert isinstance(decryptor, HeldDecryptor)
        assert decryptor.held.public == public
        point = ec.generate_private_key(ec.SECP256R1()).public_key()
        octets = point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        assert len(decryptor.agree(octets)) == 32
    finally:
        stores.close()
