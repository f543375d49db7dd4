"""`gatepost serve`: what keeps it from starting, and that it says so."""

import shutil
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Gatepost

from gatepost.engine import supervisor
from gatepost.engine.handover import Handover


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The configurations with which the gateway was started."""
    seen: list[Path] = []

    async def run(self: supervisor.Supervisor, _legacy: Handover) -> int:
        seen.append(self._path)
        self._doors.keep({})
        for room in self._crew.rooms:
            room.forget()
        return 0

    monkeypatch.setattr(supervisor.Supervisor, "fork", lambda _: None)
    monkeypatch.setattr(supervisor.Supervisor, "run", run)
    return seen


@pytest.fixture
def free(home: Path) -> Path:
    """An installation at a port nobody else can have."""
    path = home / "gatepost.toml"
    path.write_text(path.read_text().replace('"127.0.0.1:10025"', '"127.0.0.1:0"'))
    return home


def test_a_right_installation_starts(gatepost: Gatepost, free: Path, started: list[Path]) -> None:
    """The precaution keeps every gateway down."""
    ran = gatepost("serve")
    assert (ran.code, ran.err) == (0, "")
    assert started == [free / "gatepost.toml"]


def test_a_state_folder_that_is_gone(gatepost: Gatepost, free: Path, started: list[Path]) -> None:
    """A disk is not mounted: an empty policy lets mail out in clear that must be encrypted."""
    shutil.rmtree(free / "gatepost-state")
    ran = gatepost("serve")
    assert ran.code == 2
    assert "directory.db does not exist" in ran.err
    assert "backup" in ran.err
    assert started == []
    assert not (free / "gatepost-state").exists()


def test_a_wrong_vault_key(gatepost: Gatepost, free: Path, started: list[Path]) -> None:
    """Every body in the queue is called corrupt, because somebody took the wrong backup."""
    (free / "vault.key").write_text("5a" * 32)
    ran = gatepost("serve")
    assert ran.code == 2
    assert "does not open the private key" in ran.err
    assert started == []


def test_a_missing_tls_key(gatepost: Gatepost, free: Path, started: list[Path]) -> None:
    """'No such file or directory' does not say which."""
    (free / "tls-key.pem").unlink()
    ran = gatepost("serve")
    assert ran.code == 2
    assert "tls-key.pem" in ran.err
    assert started == []
