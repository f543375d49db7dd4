"""From the settings of the vault to the place of its key."""

from __future__ import annotations

from gatepost.config import Vault
from gatepost.vault.kek import KekSource


def kek_source(vault: Vault) -> KekSource:
    """Where the key-encryption key is; exactly one setting names it."""
    if vault.key_file is not None:
        return KekSource("file", str(vault.key_file))
    if vault.key_environment is not None:
        return KekSource("environment", vault.key_environment)
    return KekSource("credential", vault.key_credential or "")
