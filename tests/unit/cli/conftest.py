"""A fresh installation per test, and commands run in this process."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests import pki_builder

from gatepost.cli.run import run


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def data(self) -> Any:
        return json.loads(self.raw)


Gatepost = Callable[..., Ran]


@pytest.fixture
def gatepost(capfdbinary: pytest.CaptureFixture[bytes]) -> Gatepost:
    """Run a command; returns exit code, standard output and standard error."""

    def call(*arguments: object) -> Ran:
        capfdbinary.readouterr()
        code = run([str(one) for one in arguments])
        out, err = capfdbinary.readouterr()
        return Ran(code, out, err.decode())

    return call


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One installation, set up once; tests get copies."""
    folder = tmp_path_factory.mktemp("template")
    config = folder / "gatepost.toml"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("gatepost.admin.clock.utc_now", lambda: pki_builder.BORN)
        assert run(["init", "example.com", "--yes", "--json", "--config", str(config)]) == 0
    return folder


@pytest.fixture
def home(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of example.com that commands find by themselves."""
    folder = tmp_path / "home"
    shutil.copytree(template, folder)
    monkeypatch.setenv("GATEPOST_CONFIG", str(folder / "gatepost.toml"))
    # What the world's DNS says of example.com is no matter of these tests.
    monkeypatch.setattr("gatepost.lookup.resolver.SYSTEM", tmp_path / "no-resolv.conf")
    return folder


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    """A message from Alice to Bob with text that is not ASCII, line ends as editors write them."""
    path = tmp_path / "letter.eml"
    path.write_text(
        "From: Alice <alice@example.com>\nTo: bob@partner.example\n"
        "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n"
        "\nSchöne Grüße\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch, now: datetime) -> datetime:
    """Commands run at the moment for which the tests' certificates are made."""
    monkeypatch.setattr("gatepost.admin.clock.utc_now", lambda: now)
    return now
