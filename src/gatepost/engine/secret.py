"""Passwords: where they are, who may log in with them, and how the network asks (RFC 4954).

Kept only as verifiers, from which no password can be read; a name nobody has is answered
like any other, by a decoy.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from gatepost.config.endpoint import Password
from gatepost.config.settings import Account
from gatepost.errors import ConfigError, Malformed
from gatepost.smtp.scram import Verifier, prepared

MAXIMUM = 1024  # octets of a password


class Accounts:
    """The `net.application.Authenticator` of the accounts in the configuration file."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._verifiers = {prepared(one.name): _verifier(one) for one in accounts}
        self._decoy = secrets.token_bytes(32)

    def verifier(self, name: str) -> Verifier:
        """What is known about a name's password."""
        return self._verifiers.get(name) or Verifier.decoy(name, self._decoy)


def _verifier(account: Account) -> Verifier:
    try:
        if account.verifier:
            return Verifier.parse(account.verifier)
        return Verifier.of(password(account), secrets.token_bytes(16))
    except Malformed as error:
        raise ConfigError(f"account {account.name!r}: {error}") from error


def password(source: Password, environ: Mapping[str, str] = os.environ) -> str:
    """Read a password; raises ConfigError with the reason and the remedy."""
    if source.password_environment is not None:
        text = environ.get(source.password_environment, "")
        where = f"environment variable {source.password_environment}"
    else:
        path = _path(source, environ)
        text, where = _read(path, is_private=source.password_file is not None), f"file {path}"
    text = text.rstrip("\r\n")
    if not text or len(text.encode()) > MAXIMUM:
        raise ConfigError(f"{where} holds no password: expected one line")
    return text


def _path(source: Password, environ: Mapping[str, str]) -> Path:
    if source.password_file is not None:
        return source.password_file
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if folder is None or source.password_credential is None:
        raise ConfigError("systemd gave no credentials: see LoadCredential= in systemd.exec(5)")
    return Path(folder) / source.password_credential


def _read(path: Path, *, is_private: bool) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if is_private and mode & 0o077:
                raise ConfigError(
                    f"password file {path} may be read by others "
                    f"(mode {stat.S_IMODE(mode):04o}): chmod 600 {path}"
                )
            return file.read(MAXIMUM + 2).decode()
    except OSError as error:
        raise ConfigError(f"password file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"password file {path} is not UTF-8") from None
