"""Keys that were made in the token (PKCS #11) by its own tools."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gatepost.admin import credential
from gatepost.admin.certificate import Found, take_in_key
from gatepost.config import load
from gatepost.engine.custody import KEYS, custody, load_kek
from gatepost.vault.seal import Sealer


def adopt(
    config: Path | None,
    label: str,
    certificates: Sequence[Path],
    addresses: Sequence[str],
    now: datetime,
) -> Found:
    """Use the key of this label from now on, with the certificate that fits it.

    Nothing changes in the token; in the directory stands where the key is.
    """
    settings = load(config)
    key = custody(settings, Sealer(load_kek(settings), KEYS)).adopt(label)
    found = [one for path in certificates for one in credential.certificates_in(path)]
    given = credential.matched(key, found, f"the key {label!r} in the token")
    return take_in_key(config, given, addresses, now)
