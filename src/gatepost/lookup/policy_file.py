"""MTA-STS policies on the disk, a file each: a restart must not forget them (RFC 8461 section 3.2).

They are public and can be fetched again, so what cannot be read or written is left out.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from gatepost.errors import Malformed
from gatepost.events import Name
from gatepost.route.sts import MAXIMUM_PATTERNS, MODES, StsPolicy

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
                return restored(domain, file.read(_MAXIMUM))
        except (OSError, Malformed):
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
                file.write(composed(domain, policy))
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
            with suppress(OSError, Malformed), path.open("rb") as file:
                if not restored("", file.read(_MAXIMUM)).is_live(now):
                    path.unlink()
                    removed += 1
        return removed

    @staticmethod
    def _path(folder: Path, domain: str) -> Path:
        return folder / f"{hashlib.sha256(domain.encode()).hexdigest()}.json"


def composed(domain: str, policy: StsPolicy) -> bytes:
    """A policy as it is kept."""
    data = {
        "domain": domain,
        "id": policy.id,
        "mode": policy.mode,
        "mx": policy.patterns,
        "max_age": round(policy.maximum_age.total_seconds()),
        "fetched": policy.fetched.isoformat(),
    }
    return json.dumps(data, indent=1).encode()


def restored(domain: str, octets: bytes) -> StsPolicy:
    """What `composed` wrote for a domain, for any if none is given; raises Malformed."""
    try:
        return _policy(domain, json.loads(octets))
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise Malformed(f"the MTA-STS policy kept is damaged: {error}") from error


def _policy(domain: str, data: dict[str, Any]) -> StsPolicy:
    if domain not in {"", data["domain"]}:
        raise ValueError("the file is another domain's")
    fetched, age = datetime.fromisoformat(data["fetched"]), int(data["max_age"])
    _ = fetched.astimezone(UTC) + timedelta(seconds=age)  # when it ends, within the calendar
    patterns = tuple(map(str, data["mx"]))
    if fetched.tzinfo is None or age < 0 or len(patterns) > MAXIMUM_PATTERNS:
        raise ValueError("no policy has this")
    mode = MODES[MODES.index(data["mode"])]
    return StsPolicy(str(data["id"]), mode, patterns, timedelta(seconds=age), fetched)
