"""MTA-STS policies on the disk, a file each: a restart must not forget them (RFC 8461 section 3.2).

They are public and can be fetched again, so what cannot be read or written is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from gatepost.events import Name
from gatepost.route.sts import MODES, StsPolicy

_MAXIMUM = 256 * 1024
_log = structlog.get_logger("gatepost.lookup")


FOLDER: Final = "mta-sts"  # below the state


class PolicyFiles:
    """A folder of policies; without a folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def read(self, domain: str) -> StsPolicy | None:
        """The policy that was last written for a domain, live or not."""
        if self._folder is None:
            return None
        try:
            with self._path(self._folder, domain).open("rb") as file:
                return _restored(domain, file.read(_MAXIMUM))
        except (OSError, ValueError, LookupError, TypeError, OverflowError):
            return None

    def write(self, domain: str, policy: StsPolicy) -> None:
        """Keep a policy."""
        if self._folder is None:
            return
        path = self._path(self._folder, domain)
        fresh = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with fresh.open("xb") as file:
                file.write(_composed(domain, policy))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            reason = f"MTA-STS policy of {domain}: {error.strerror or error}"
            _log.warning(Name.SERVICE_ERROR, service="lookup", reason=reason)
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    def prune(self, now: datetime) -> int:
        """Remove policies that have ended; returns how many."""
        removed = 0
        for path in self._folder.glob("*.json") if self._folder else ():
            with suppress(OSError, ValueError, LookupError, TypeError, OverflowError):
                octets = path.read_bytes()[:_MAXIMUM]
                if not _restored(json.loads(octets)["domain"], octets).is_live(now):
                    path.unlink()
                    removed += 1
        return removed

    @staticmethod
    def _path(folder: Path, domain: str) -> Path:
        return folder / f"{hashlib.sha256(domain.encode()).hexdigest()}.json"


def _composed(domain: str, policy: StsPolicy) -> bytes:
    data = {
        "domain": domain,
        "id": policy.id,
        "mode": policy.mode,
        "mx": policy.patterns,
        "max_age": round(policy.maximum_age.total_seconds()),
        "fetched": policy.fetched.isoformat(),
    }
    return json.dumps(data, indent=1).encode()


def _restored(domain: str, octets: bytes) -> StsPolicy:
    data = json.loads(octets)
    if data["domain"] != domain:
        raise ValueError("the file is another domain's")
    return StsPolicy(
        str(data["id"]),
        MODES[MODES.index(data["mode"])],
        tuple(map(str, data["mx"])),
        timedelta(seconds=int(data["max_age"])),
        datetime.fromisoformat(data["fetched"]),
    )
