"""A file of an integration, and how values stand in it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from gatepost.errors import ConfigError

_MARK = re.compile(r"@([a-z_]+)@")
_SAFE = re.compile(r"[A-Za-z0-9._:\-\[\]]+\Z")


@dataclass(frozen=True, slots=True)
class File:
    """One file."""

    name: str
    text: str
    mode: int = 0o644


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its @marks@ replaced; raises KeyError for one without a value."""
    text = (resources.files(__package__) / "templates" / template).read_text("utf-8")
    return _MARK.sub(lambda found: values[found[1]], text)


def word(value: object) -> str:
    """A value where no language has room for quotes; raises ConfigError for any other."""
    text = str(value)
    if not _SAFE.match(text):
        raise ConfigError(f"{text!r} cannot stand in a mail server's configuration")
    return text


def shell(value: str) -> str:
    """A value for sh."""
    return shlex.quote(value)


def powershell(value: object) -> str:
    """A value for PowerShell, which knows typographic quotes too."""
    return "'" + re.sub("(['\u2018\u2019\u201a\u201b])", r"\1\1", str(value)) + "'"


def pattern(domains: tuple[str, ...]) -> str:
    """A regular expression for any of the domains."""
    return "|".join(word(one).replace(".", r"\.") for one in domains)
