"""Where the key-encryption key comes from."""

import base64
from pathlib import Path

import pytest

from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.vault.kek import Kek, KekSource, generate_file, load

KEY = bytes(range(200, 232))


@pytest.mark.parametrize(
    "written",
    [
        KEY,
        KEY.hex().encode(),
        KEY.hex().upper().encode() + b"\r\n",
        base64.b64encode(KEY) + b"\n",
        base64.urlsafe_b64encode(KEY).rstrip(b"="),
    ],
)
def test_every_way_of_writing_the_key(tmp_path: Path, written: bytes) -> None:
    """A key made by `openssl rand` in any common form would be refused."""
    path = tmp_path / "kek"
    path.write_bytes(written)
    path.chmod(0o600)
    assert load(KekSource.parse(f"file:{path}")).key == KEY


@pytest.mark.parametrize(
    "written",
    [b"", b"short", KEY[:31], KEY.hex().encode() + b"00", b"g" * 64, b"*" * 44, bytes(9000)],
)
def test_anything_else_is_refused_with_the_remedy(tmp_path: Path, written: bytes) -> None:
    """A truncated key file would quietly become a weak key."""
    path = tmp_path / "kek"
    path.write_bytes(written)
    path.chmod(0o600)
    with pytest.raises(KeyUnavailable, match="openssl rand -hex 32"):
        load(KekSource("file", str(path)))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Any account on the machine could decrypt all stored keys."""
    path = tmp_path / "kek"
    path.write_text(KEY.hex())
    path.chmod(mode)
    with pytest.raises(KeyUnavailable, match=f"chmod 600 {path}"):
        load(KekSource("file", str(path)))


def test_missing_places_say_what_is_missing(tmp_path: Path) -> None:
    """An administrator would see a traceback instead of what to set."""
    with pytest.raises(KeyUnavailable, match="No such file"):
        load(KekSource("file", str(tmp_path / "none")))
    with pytest.raises(KeyUnavailable, match="GATEPOST_KEK is not set"):
        load(KekSource("environment", "GATEPOST_KEK"), {})
    with pytest.raises(KeyUnavailable, match="LoadCredential=kek:PATH"):
        load(KekSource("credential", "kek"), {})
    with pytest.raises(KeyUnavailable, match="not a file name"):
        load(KekSource("credential", "../kek"), {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    with pytest.raises(KeyUnavailable, match="Is a directory"):
        load(KekSource("file", str(tmp_path)))


def test_environment_and_systemd_credential(tmp_path: Path) -> None:
    """Containers and hardened units could not start."""
    assert load(KekSource.parse("env:K"), {"K": KEY.hex()}).key == KEY
    (tmp_path / "kek").write_text(KEY.hex() + "\n")
    assert (
        load(KekSource.parse("credential:kek"), {"CREDENTIALS_DIRECTORY": str(tmp_path)}).key == KEY
    )


def test_a_generated_file_is_private_loads_and_is_never_overwritten(tmp_path: Path) -> None:
    """Running init twice would destroy every sealed key."""
    path = tmp_path / "deep" / "kek"
    kek = generate_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(KekSource.parse(str(path))) == kek
    with pytest.raises(ConfigError, match="exists already"):
        generate_file(path)
    assert load(KekSource("file", str(path))) == kek


def test_unknown_sources_and_lengths() -> None:
    """A typing error in the configuration would be taken for a path."""
    with pytest.raises(ConfigError, match="vault:x"):
        KekSource.parse("vault:x")
    with pytest.raises(KeyUnavailable, match="31"):
        Kek(bytes(31))
