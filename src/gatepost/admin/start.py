"""What must hold before the gateway may take mail.

A directory that is gone (a disk that is not mounted) would be made anew, empty: without
its rules, mail that must be encrypted would leave in clear.  A wrong vault key would call
every queued body corrupt.  So neither starts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from gatepost.admin import check
from gatepost.admin.check.key import opened
from gatepost.admin.check.registry import Installation
from gatepost.config import load
from gatepost.engine.custody import BODIES
from gatepost.errors import ConfigError, KeyUnavailable
from gatepost.vault.client import Client, Remote

NEEDED = ("TLS-01", "DIR-01")
KEYS = ("KEY-01", "KEY-02")  # where a key process has the keys, `prove` looks at them
FREE = ("PRT-01",)


def consider(config: Path, is_listening: bool = False) -> None:  # noqa: FBT001, FBT002  a callback
    """Raise ConfigError, saying what to do, when this installation must not start.

    Who listens already, or was given sockets, need not look whether the ports are free.
    """
    keys = () if load(config).vault.process else KEYS
    findings = check.run(config, keys + (NEEDED if is_listening else NEEDED + FREE)).findings
    if faults := [one for one in findings if one.status is check.Status.FAIL]:
        said = "\n".join(f"{one.detail} ({one.id})" for one in faults)
        fixes = dict.fromkeys(one.fix for one in faults if one.fix)
        raise ConfigError(said, hint="\n  → ".join(fixes))


def prove(config: Path, keys: Client) -> None:
    """Raise ConfigError, saying what to do, when the key process does not open our private keys.

    This process must not see them: its children would.
    """
    settings = load(config)
    try:
        keys.subkey(BODIES)
    except KeyUnavailable as error:
        if settings.vault.key_passphrase:  # it is locked: mail waits until it is not
            return
        raise ConfigError(f"{error} (KEY-01)") from error
    answers = opened(Installation(config, settings, "", datetime.now(UTC)), Remote(keys))
    for one in answers:
        if one.status is check.Status.FAIL:
            raise ConfigError(f"{one.detail} (KEY-02)", hint=one.fix)
