"""What a worker has of the vault: sub-keys of the key process, and nothing it could lose."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.engine.premises import TEXT
from tests.unit.vault.door import Door

from gatepost.config import Settings, load
from gatepost.engine import control
from gatepost.engine.custody import BODIES, client_of, load_kek, opened
from gatepost.engine.keeper import Vault
from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.vault import kek
from gatepost.vault.client import Client, Remote
from gatepost.vault.kek import Kek, generate_file, replace_file
from gatepost.vault.seal import Sealer
from gatepost.vault.wrap import Passphrase

RIGHT = Passphrase("correct horse", cost=4)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short name, for the socket's sake."""
    folder = Path(tempfile.mkdtemp(prefix="gp-"))
    (folder / "gatepost.toml").write_text(TEXT)
    (folder / "state").mkdir(mode=0o700)
    generate_file(folder / "vault.key")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def settings(home: Path) -> Settings:
    return load(home / "gatepost.toml")


@pytest.fixture
def lent(settings: Settings) -> Iterator[tuple[Door, Client]]:
    """A key process of these settings, and a client."""
    door = Door(settings.gateway.state / "keys-1.sock")
    door.open(Vault(settings).desk())
    client = client_of(settings, "keys-1.sock")
    yield door, client
    client.close()
    door.close()


def turn(settings: Settings) -> tuple[Kek, Kek]:
    """What `vault rotate` does to the file; the key before, and now."""
    old = load_kek(settings)
    new = Kek(bytes(range(32)), (old.key,))
    assert settings.vault.key_file is not None
    replace_file(settings.vault.key_file, new)
    return old, new


def test_a_worker_follows_a_rotation(
    settings: Settings, lent: tuple[Door, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`vault retire` would take away the key that workers still seal queued mail under."""
    monkeypatch.setattr(kek, "PAUSE", 0.0)
    keys, subkey = opened(settings, lent[1])
    assert isinstance(keys, Remote)
    sealer = Sealer(subkey(BODIES), BODIES)
    before = sealer.seal(b"mail")
    old, new = turn(settings)
    after = sealer.seal(b"mail")
    assert (before[1:5], after[1:5]) == (old.id, new.id)
    assert [sealer.unseal(one) for one in (before, after)] == [b"mail"] * 2
    assert Sealer(new, BODIES).unseal(after) == b"mail"


def test_a_crash_takes_no_sub_key_away(
    settings: Settings, lent: tuple[Door, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the key process is started again no queued mail could be delivered."""
    monkeypatch.setattr(kek, "PAUSE", 0.0)
    door, client = lent
    _, subkey = opened(settings, client)
    sealer = Sealer(subkey(BODIES), BODIES)
    box = sealer.seal(b"mail")
    door.close()
    client.close()
    turn(settings)
    assert sealer.unseal(sealer.seal(b"x")) == b"x"
    assert sealer.unseal(box) == b"mail"
    with pytest.raises(KeyUnavailable):
        client.subkey(BODIES)


def test_one_that_comes_late(settings: Settings) -> None:
    """A worker that begins before the key process could never seal anything."""
    client = client_of(settings, "keys-1.sock")
    _, subkey = opened(settings, client)
    sealer = Sealer(subkey(BODIES), BODIES)
    with pytest.raises(KeyUnavailable, match="away"):
        sealer.seal(b"mail")
    door = Door(settings.gateway.state / "keys-1.sock")
    door.open(Vault(settings).desk())
    assert Sealer(load_kek(settings), BODIES).unseal(sealer.seal(b"mail")) == b"mail"
    client.close()
    door.close()


def test_passphrase(home: Path, lent: tuple[Door, Client]) -> None:
    """Whoever guesses opens the vault, or the right passphrase does not."""
    path = home / "gatepost.toml"
    path.write_text(path.read_text() + "key_passphrase = true\n")
    settings = load(path)
    whole = load_kek(settings)
    replace_file(home / "vault.key", whole, RIGHT)
    door, client = lent
    door.open(Vault(settings).desk())
    client.close()
    with pytest.raises(KeyUnavailable, match="locked"):
        client.subkey(BODIES)
    vault = Remote(client)
    with pytest.raises(KeyUnavailable, match="locked"):
        vault.make("p256", "people", "alice")
    process = Vault(settings)
    with pytest.raises(KeyUnavailable, match="is not the one"):
        process.unlock("wrong horse")
    assert process.begin(iter(("wrong", "correct horse")).__next__)
    door.open(process.desk())
    client.close()
    assert client.subkey(BODIES).id == whole.id
    for more in ("process = false\n", '[vault.wrap]\npassword_environment = "X"\n'):
        path.write_text(TEXT + "key_passphrase = true\n" + more)
        with pytest.raises(ConfigError, match="key_passphrase needs"):
            load(path)


def test_sockets_of_others(home: Path, settings: Settings) -> None:
    """A file in the way keeps the key process from starting, or answers in its name."""
    place = settings.gateway.state / "keys-1.sock"
    place.write_text("in the way")
    with control.bound(settings.gateway.state, place.name) as line:
        assert place.is_socket()
        assert place.stat().st_mode & 0o777 == 0o600
        assert line.family is socket.AF_UNIX
