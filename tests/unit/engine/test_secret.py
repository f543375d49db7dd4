"""Passwords are read from where the file says, and never believed when others may read them."""

from pathlib import Path

import pytest

from gatepost.config.endpoint import Password
from gatepost.config.settings import Account
from gatepost.engine.secret import Accounts, password
from gatepost.errors import ConfigError
from gatepost.smtp.scram import Verifier


def test_sources(tmp_path: Path) -> None:
    """A service cannot log in though its password is there."""
    file = tmp_path / "secret"
    file.write_text("secret\n")
    file.chmod(0o600)
    assert password(Password(password_file=file)) == "secret"
    assert password(Password(password_environment="P"), {"P": "secret"}) == "secret"
    folder = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert password(Password(password_credential="secret"), folder) == "secret"


@pytest.mark.parametrize("fault", ["absent", "readable", "empty", "binary", "variable", "systemd"])
def test_faults_name_their_remedy(tmp_path: Path, fault: str) -> None:
    """A password others can read is used, or a missing one is taken as empty."""
    file = tmp_path / "secret"
    if fault != "absent":
        file.write_bytes({"empty": b"\n", "binary": b"\xff"}.get(fault, b"secret"))
        file.chmod(0o644 if fault == "readable" else 0o600)
    source = Password(password_file=file)
    if fault == "variable":
        source = Password(password_environment="P")
    elif fault == "systemd":
        source = Password(password_credential="secret")
    with pytest.raises(ConfigError):
        password(source, {})


def test_accounts(tmp_path: Path) -> None:
    """Nobody can log in, or somebody who has no account."""
    file = tmp_path / "secret"
    file.write_text("secret")
    file.chmod(0o600)
    known = str(Verifier.of("other", b"salt", 4096))
    accounts = Accounts([Account("a", password_file=file), Account("b", verifier=known)])
    assert accounts.verifier("a").accepts("secret")
    assert accounts.verifier("b").accepts("other")
    assert not accounts.verifier("c").accepts("secret")
    assert accounts.verifier("c") == accounts.verifier("c")
    with pytest.raises(ConfigError):
        Accounts([Account("d", verifier="nonsense")])
