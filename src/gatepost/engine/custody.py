"""Opens the vault a configuration describes: here, or by asking the key process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from gatepost.config import Settings
from gatepost.config.token import Token as TokenSettings
from gatepost.engine import control, terminal
from gatepost.engine.secret import password
from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.vault.client import Client, Remote
from gatepost.vault.custody import Custody, Safe
from gatepost.vault.kek import Kek, KekSource, Watch, load
from gatepost.vault.mac import purpose_of
from gatepost.vault.seal import Sealer
from gatepost.vault.subkey import Drawn, Source
from gatepost.vault.token import Token
from gatepost.vault.wrap import Passphrase, Transit, Typed, Wrap

# What sub-keys are for: private keys, which workers never open, and what they seal themselves.
KEYS = "private-key"
BODIES, TRACE, EVIDENCE = "queue", "trace", "evidence"
SOCKETS = "keys-*.sock"  # of key processes, in the state folder
LENT = (BODIES, purpose_of(TRACE), EVIDENCE)


def kek_source(settings: Settings) -> KekSource:
    """Where the key-encryption key comes from."""
    vault = settings.vault
    if vault.key_file is not None:
        return KekSource("file", str(vault.key_file))
    if vault.key_environment is not None:
        return KekSource("environment", vault.key_environment)
    return KekSource("credential", vault.key_credential or "")


def load_kek(settings: Settings, wrap: Wrap | None = None) -> Kek:
    """The key-encryption key; raises KeyUnavailable with the reason and the remedy."""
    return load(kek_source(settings), wrap=wrap or wrap_of(settings))


def watch(settings: Settings, wrap: Wrap | None = None) -> Watch[Kek]:
    """The same for a process that runs while it is changed; read when it is first needed."""
    return Watch(kek_source(settings), lambda: load_kek(settings, wrap), time.monotonic)


def wrap_of(settings: Settings) -> Wrap | None:
    """What the key is wrapped with; raises KeyUnavailable when its secret cannot be read."""
    if settings.vault.key_passphrase:
        return _typed(kek_source(settings))
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


def opened(
    settings: Settings, keys: Client | None = None
) -> tuple[Custody, Callable[[str], Source]]:
    """Who keeps the private keys, and where the sub-key of a purpose comes from."""
    if keys is not None:
        return Remote(keys), lambda purpose: _asked(settings, keys, purpose)
    key = watch(settings)
    if not settings.vault.key_passphrase:  # else it is asked for only where it is needed
        key()
    return custody(settings, Sealer(Drawn(key.fresh, KEYS), KEYS)), lambda purpose: Drawn(
        key, purpose
    )


def client_of(settings: Settings, name: str) -> Client:
    """Asks the key process behind a socket of this name."""
    return Client(lambda: control.reached(settings.gateway.state, name))


def _asked(settings: Settings, keys: Client, purpose: str) -> Source:
    """A sub-key of the key process, asked for again when the key file was changed."""
    lent = Watch(kek_source(settings), lambda: keys.subkey(purpose), time.monotonic)
    with suppress(KeyUnavailable):  # it is away, or locked: then when it is needed
        lent()
    return lent


@cache
def _typed(source: KekSource) -> Typed:
    """Asked for once in a command, however often it reads the key."""
    return Typed(lambda is_new: terminal.ask(f"Passphrase of {source}", is_new=is_new))


def withheld(settings: Settings) -> tuple[str, ...]:
    """Environment variables that only the key process may have."""
    vault = settings.vault
    found = [one.password_environment for one in (vault.wrap, vault.token) if one is not None]
    return tuple(one for one in (vault.key_environment, *found) if one)


def _token(one: TokenSettings) -> Token:
    return Token(str(one.module), one.label, lambda: password(one))
