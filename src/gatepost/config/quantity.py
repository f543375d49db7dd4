"""Durations, sizes and names as people write them in a configuration file."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_OCTETS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6}
_NUMBER = re.compile(r"(\d{1,12})\s?([A-Za-z]{0,3})\Z")
# RFC 1035 section 2.3.4: a label has at most 63 octets, a name 255.
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\Z"
)


def duration(value: object) -> timedelta:
    """Read "90s", "5m", "1h", "5d"; a bare number means seconds."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**10:
        return timedelta(seconds=value)
    match = _NUMBER.match(value.strip()) if isinstance(value, str) else None
    if match is not None and match[2] in _SECONDS and int(match[1]) < 10**6:
        return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    raise ValueError('expected a duration such as "30s", "5m", "1h" or "5d"')


def octets(value: object) -> int:
    """Read "25MiB" or a bare number of octets."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _NUMBER.match(value.strip()) if isinstance(value, str) else None
    if match is not None and match[2] in _OCTETS:
        return int(match[1]) * _OCTETS[match[2]]
    raise ValueError('expected a size such as 1048576, "512KiB" or "100MiB"')


def domain(value: str) -> str:
    """Check a domain name and give it in lower case with A-labels (RFC 5890)."""
    folded = value.strip().lower().rstrip(".")
    if not folded.isascii():
        try:
            folded = folded.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("expected a domain name such as example.com") from None
    if "@" in folded:
        raise ValueError("expected a domain name without local part and @")
    if not _DOMAIN.match(folded):
        raise ValueError("expected a domain name such as example.com")
    return folded


def written(value: timedelta) -> str:
    """Write a duration in the largest unit that is exact."""
    milliseconds = value // timedelta(milliseconds=1)
    for unit in ("d", "h", "m", "s"):
        if milliseconds % (step := int(_SECONDS[unit] * 1000)) == 0:
            return f"{milliseconds // step}{unit}"
    return f"{milliseconds}ms"


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta(0):
        raise ValueError("must not be negative")
    return value


def _resolved(value: Path, info: ValidationInfo) -> Path:
    """Relative paths count from the folder of the configuration file."""
    folder = info.context.get("folder") if isinstance(info.context, dict) else None
    return folder / value if isinstance(folder, Path) else value


Duration = Annotated[
    timedelta,
    BeforeValidator(duration, json_schema_input_type=str | int | float),
    AfterValidator(_not_negative),
    PlainSerializer(written, return_type=str, when_used="json"),
]
Size = Annotated[int, BeforeValidator(octets, json_schema_input_type=str | int)]
Domain = Annotated[str, AfterValidator(domain)]
File = Annotated[Path, AfterValidator(_resolved)]
