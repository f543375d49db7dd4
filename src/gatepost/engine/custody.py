"""The vault's part of the configuration: where the key-encryption key and the keys are."""

from __future__ import annotations

from gatepost.config import Settings
from gatepost.config.token import Token as TokenSettings
from gatepost.engine.secret import password
from gatepost.vault.custody import Safe
from gatepost.vault.kek import Kek, KekSource
from gatepost.vault.seal import Sealer
from gatepost.vault.token import Token

KEYS = "private-key"  # what the sub-key of private keys is for


def kek_source(settings: Settings) -> KekSource:
    """Where the key-encryption key comes from."""
    vault = settings.vault
    if vault.key_file is not None:
        return KekSource("file", str(vault.key_file))
    if vault.key_environment is not None:
        return KekSource("environment", vault.key_environment)
    return KekSource("credential", vault.key_credential or "")


def custody(settings: Settings, kek: Kek) -> Safe:
    """Who keeps the private keys; a token is opened when it is first needed."""
    one = settings.vault.token
    if one is None:
        return Safe(Sealer(kek, KEYS))
    return Safe(Sealer(kek, KEYS), _token(one), frozenset(one.makes))


def _token(one: TokenSettings) -> Token:
    return Token(str(one.module), one.label, lambda: password(one))
