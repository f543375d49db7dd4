"""The vault's part of the configuration: where the key-encryption key and the keys are."""

from __future__ import annotations

import time

from gatepost.config import Settings
from gatepost.config.token import Token as TokenSettings
from gatepost.engine.secret import password
from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.vault.custody import Safe
from gatepost.vault.kek import Kek, KekSource, Watch, load
from gatepost.vault.seal import Sealer
from gatepost.vault.token import Token
from gatepost.vault.wrap import Passphrase, Transit, Wrap

KEYS = "private-key"  # what the sub-key of private keys is for


def kek_source(settings: Settings) -> KekSource:
    """Where the key-encryption key comes from."""
    vault = settings.vault
    if vault.key_file is not None:
        return KekSource("file", str(vault.key_file))
    if vault.key_environment is not None:
        return KekSource("environment", vault.key_environment)
    return KekSource("credential", vault.key_credential or "")


def load_kek(settings: Settings) -> Kek:
    """The key-encryption key; raises KeyUnavailable with the reason and the remedy."""
    return load(kek_source(settings), wrap=wrap_of(settings))


def watch(settings: Settings) -> Watch[Kek]:
    """The same for a process that runs while it is changed; read when it is first needed."""
    return Watch(kek_source(settings), lambda: load_kek(settings), time.monotonic)


def wrap_of(settings: Settings) -> Wrap | None:
    """What the key is wrapped with; raises KeyUnavailable when its secret cannot be read."""
    one = settings.vault.wrap
    if one is None:
        return None
    try:
        secret = password(one)
    except ConfigError as error:
        raise KeyUnavailable(f"[vault.wrap] {error}") from error
    if not one.transit:
        return Passphrase(secret)
    return Transit(one.transit, one.transit_key, secret, one.transit_mount)


def custody(settings: Settings, sealer: Sealer) -> Safe:
    """Who keeps the private keys; a token is opened when it is first needed."""
    one = settings.vault.token
    if one is None:
        return Safe(sealer)
    return Safe(sealer, _token(one), frozenset(one.makes))


def _token(one: TokenSettings) -> Token:
    return Token(str(one.module), one.label, lambda: password(one))
