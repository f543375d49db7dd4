"""Passphrases typed at the terminal, whatever standard input and output are."""

from __future__ import annotations

import getpass
import os

from gatepost.errors import ConfigError
from gatepost.vault.wrap import Locked

_TERMINAL = "/dev/tty"
_SHORTEST = 12  # characters of a new one


def ask(what: str, *, is_new: bool = False) -> str:
    """Ask; raises Locked where there is no terminal."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        raise Locked(
            "the vault is locked: its passphrase is typed at a terminal, and there is none",
            hint="gatepost vault unlock",
        ) from None
    typed = getpass.getpass(f"{what}: ")
    if is_new:
        if len(typed) < _SHORTEST:
            raise ConfigError(f"a passphrase has {_SHORTEST} characters at least")
        if getpass.getpass("The same again: ") != typed:
            raise ConfigError("the two are not the same; nothing was changed")
    return typed
