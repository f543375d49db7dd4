"""Find, read and check the configuration file; every complaint names file, line and key."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gatepost.config.complaint import Problem, problems
from gatepost.config.locate import lines, overlong
from gatepost.config.settings import Settings
from gatepost.errors import ConfigError

PLACES = ("gatepost.toml", "/etc/gatepost/gatepost.toml")
MAXIMUM_SIZE = 1 << 20
_SCHEMA = "gatepost config schema tells what may stand there"
_QUOTES = 'TOML is key = value, and text stands in quotes: hostname = "gatepost.example.com"'
_AT_LINE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)")


@dataclass(frozen=True, slots=True)
class Override:
    """An environment variable that stands above the file."""

    variable: str
    section: str
    key: str


OVERRIDES = (
    Override("GATEPOST_HOSTNAME", "gateway", "hostname"),
    Override("GATEPOST_STATE", "gateway", "state"),
    Override("GATEPOST_WORKERS", "gateway", "workers"),
    Override("GATEPOST_LOG_FORMAT", "log", "format"),
    Override("GATEPOST_LOG_LEVEL", "log", "level"),
)


def find(environment: Mapping[str, str] = os.environ) -> Path:
    """The file to use: $GATEPOST_CONFIG, ./gatepost.toml, /etc/gatepost/gatepost.toml."""
    if named := environment.get("GATEPOST_CONFIG"):
        return Path(named)
    for place in PLACES:
        if Path(place).is_file():
            return Path(place)
    raise ConfigError(
        f"no configuration found: looked for {' and '.join(PLACES)}",
        hint="gatepost init DOMAIN makes one, --config FILE names another",
    )


def load(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read and check a file; raises ConfigError."""
    path = path or find(environment)
    return parse(read(path), path, environment)


def read(path: Path) -> str:
    """The text of a file; raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAXIMUM_SIZE + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=_why(error)) from error
    if len(raw) > MAXIMUM_SIZE:
        raise ConfigError(f"{path} is larger than {MAXIMUM_SIZE} octets; is it the right file?")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} line {line} is not UTF-8 text") from error


def parse(
    text: str, path: Path = Path("gatepost.toml"), environment: Mapping[str, str] | None = None
) -> Settings:
    """Check the text of a file; relative paths in it count from the file's folder."""
    data = _data(text, path)
    for override in OVERRIDES:
        if value := (environment or {}).get(override.variable):
            section = data.setdefault(override.section, {})
            if isinstance(section, dict):
                section[override.key] = value
    try:
        return _adapter().validate_python(data, context={"folder": path.absolute().parent})
    except ValidationError as error:
        found = problems(error, path, lines(text))
        said = "\n".join(str(one) for one in found)
        raise ConfigError(said, problems=found, hint=_SCHEMA) from None


def _data(text: str, path: Path) -> dict[str, Any]:
    if line := overlong(text):
        raise _wrong(path, line, "a key has too many parts")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        match = _AT_LINE.search(str(error))
        line = int(match[1]) if match and match[1] else text.count("\n") + 1
        raise _wrong(path, line, f"not TOML: {_AT_LINE.sub('', str(error))}") from None


def _wrong(path: Path, line: int, said: str) -> ConfigError:
    problem = Problem(path, line, "", said)
    return ConfigError(str(problem), problems=(problem,), hint=_QUOTES)


def _why(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "run as root or as the gateway's user"
    return "gatepost init DOMAIN makes one, --config FILE names another"


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Settings]:
    return TypeAdapter(Settings)
