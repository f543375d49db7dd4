"""What must hold before the gateway may take mail.

A directory that is gone (a disk that is not mounted) would be made anew, empty: without
its rules, mail that must be encrypted would leave in clear.  A wrong vault key would call
every queued body corrupt.  So neither starts.
"""

from __future__ import annotations

from pathlib import Path

from gatepost.admin import check
from gatepost.config import load
from gatepost.errors import ConfigError

NEEDED = ("KEY-01", "KEY-02", "TLS-01", "DIR-01")
FREE = ("PRT-01",)


def consider(config: Path, is_listening: bool = False) -> None:  # noqa: FBT001, FBT002  a callback
    """Raise ConfigError, saying what to do, when this installation must not start.

    Who listens already, or was given sockets, need not look whether the ports are free.
    """
    load(config)
    findings = check.run(config, NEEDED if is_listening else NEEDED + FREE).findings
    if faults := [one for one in findings if one.status is check.Status.FAIL]:
        said = "\n".join(f"{one.detail} ({one.id})" for one in faults)
        fixes = dict.fromkeys(one.fix for one in faults if one.fix)
        raise ConfigError(said, hint="\n  → ".join(fixes))
