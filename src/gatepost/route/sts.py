"""MTA-STS policies: what they say and whom they allow (RFC 8461 sections 3 and 4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from gatepost.errors import Malformed

Mode = Literal["enforce", "testing", "none"]
MODES: Final[tuple[Mode, ...]] = ("enforce", "testing", "none")
MAXIMUM_SIZE: Final = 64 * 1024  # section 3.3 suggests a limit of 64 kilobytes
MAXIMUM_AGE: Final = timedelta(seconds=31_557_600)  # section 3.2
MAXIMUM_PATTERNS: Final = 200
REFRESH: Final = timedelta(days=1)

_ID = re.compile(r"[A-Za-z0-9]{1,32}\Z")
_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[a-z0-9_.-]{0,251}[a-z0-9])?\Z")
_NUMBER = re.compile(r"[0-9]{1,10}\Z")


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy as it was fetched."""

    id: str  # of the TXT record it was fetched for
    mode: Mode
    patterns: tuple[str, ...]
    maximum_age: timedelta
    fetched: datetime

    def allows(self, host: str) -> bool:
        """Whether a host may take the domain's mail (section 4.1)."""
        host = host.lower().rstrip(".")
        return any(
            host == one or (one.startswith("*.") and host.partition(".")[2] == one[2:])
            for one in self.patterns
        )

    def is_live(self, now: datetime) -> bool:
        """Whether the policy still counts (section 3.2)."""
        return now < self.fetched + self.maximum_age

    def is_stale(self, now: datetime) -> bool:
        """Whether it should be fetched again, long before it ends (section 3.3)."""
        return now >= self.fetched + min(REFRESH, self.maximum_age / 2)


def identifier(records: Iterable[str]) -> str | None:
    """The id among a domain's TXT records; None: it publishes no policy (section 3.1)."""
    ours = [one for one in records if one.startswith("v=STSv1;")]
    if len(ours) != 1:
        return None
    fields = [one.strip() for one in ours[0].split(";")[1:]]
    ids = [one.removeprefix("id=").strip() for one in fields if one.startswith("id=")]
    return ids[0] if len(ids) == 1 and _ID.match(ids[0]) else None


def parse(text: str, id_: str, now: datetime) -> StsPolicy:
    """Read a policy file; raises Malformed.  Keys we do not know are passed over."""
    pairs: dict[str, list[str]] = {}
    for line in text.replace("\r\n", "\n").split("\n"):
        key, colon, value = line.partition(":")
        if colon:
            pairs.setdefault(key.strip(), []).append(value.strip())
    if pairs.get("version", [""])[0] != "STSv1":
        raise Malformed("the MTA-STS policy does not say version: STSv1")
    mode = next((one for one in MODES if one == pairs.get("mode", [""])[0]), None)
    if mode is None:
        raise Malformed("the MTA-STS policy has no mode we know")
    age = pairs.get("max_age", [""])[0]
    if not _NUMBER.match(age):
        raise Malformed("the MTA-STS policy has no max_age")
    patterns = tuple(one.lower().rstrip(".") for one in pairs.get("mx", []))
    if len(patterns) > MAXIMUM_PATTERNS or not all(map(_HOST.match, patterns)):
        raise Malformed("the MTA-STS policy has an mx that is no host name or pattern")
    if mode != "none" and not patterns:
        raise Malformed("the MTA-STS policy names no mx")
    return StsPolicy(id_, mode, patterns, min(timedelta(seconds=int(age)), MAXIMUM_AGE), now)
