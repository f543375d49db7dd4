"""Tokens of SoftHSM in a folder of their own, which can be carried away and back."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.conftest import absent

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")
PIN = "1234"


class Tokens:
    """A SoftHSM of its own."""

    def __init__(self, folder: Path) -> None:
        found = [one for one in MODULES if Path(one).exists()]
        if not found:
            absent("needs libsofthsm2.so (scripts/install-peers)")
        self.module = found[0]
        self._tokens, self._away = folder / "tokens", folder / "away"
        self._tokens.mkdir()
        self.configuration = folder / "softhsm2.conf"
        self.configuration.write_text(
            f"directories.tokendir = {self._tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
        )
        self.pin_file = folder / "pin"
        self.write_pin(PIN)

    def make(self, label: str) -> None:
        """A new token."""
        words = ("--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "5678")
        subprocess.run(
            ["softhsm2-util", *words],
            check=True,
            capture_output=True,
            env={**os.environ, "SOFTHSM2_CONF": str(self.configuration)},
        )

    def write_pin(self, pin: str) -> None:
        """What the gateway believes the PIN to be."""
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def settings(self, label: str) -> str:
        """The table of gatepost.toml."""
        return (
            f'[vault.token]\nmodule = "{self.module}"\nlabel = "{label}"\n'
            f'password_file = "{self.pin_file}"\n'
        )

    @contextmanager
    def carried_away(self) -> Iterator[None]:
        """Meanwhile every token is gone."""
        self._tokens.rename(self._away)
        try:
            yield
        finally:
            self._away.rename(self._tokens)


def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    """A SoftHSM that this process uses too."""
    folder = tmp_path / "hsm"
    folder.mkdir()
    made = Tokens(folder)
    monkeypatch.setenv("SOFTHSM2_CONF", str(made.configuration))
    return made
