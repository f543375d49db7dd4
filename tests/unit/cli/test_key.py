"""`gatepost key`: nobody carries a private key away alone, and it is remembered who did."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.unit.cli.conftest import Gatepost

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
