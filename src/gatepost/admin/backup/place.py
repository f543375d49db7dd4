"""Which files a configuration names, and where they go when it moves elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from gatepost.config import Settings, parse
from gatepost.config.locate import lines
from gatepost.errors import ConfigError

STATE = ("gateway", "state")
KEY_FILE = ("vault", "key_file")
Name = tuple[str | int, ...]


def named(value: object, name: Name = ()) -> Iterator[tuple[Name, Path]]:
    """Every path in the settings, with the key it stands under."""
    if isinstance(value, Path):
        yield name, value
    elif isinstance(value, tuple):
        for number, one in enumerate(value):
            yield from named(one, (*name, number))
    elif is_dataclass(value):
        for field in fields(value):
            yield from named(getattr(value, field.name), (*name, field.name))


def moved(path: Path, old: Path, new: Path) -> Path:
    """What stood beside the configuration stands beside it again; other places stay."""
    folder = old.parent
    return new.parent / path.relative_to(folder) if path.is_relative_to(folder) else path


def rewritten(text: str, old: Path, new: Path, state: Path | None) -> tuple[str, Settings]:
    """The configuration at its new place; raises ConfigError when that needs a person."""
    before = parse(text, old)
    wanted = {
        name: state if state is not None and name == STATE else moved(path, old, new)
        for name, path in named(before)
    }
    for path in dict.fromkeys(path for _, path in named(before)):
        text = text.replace(json.dumps(str(path)), json.dumps(str(moved(path, old, new))))
    if state is not None:
        text = _with_state(text, state)
    after = parse(text, new)
    for name, path in named(after):
        if path != wanted.get(name):
            key = ".".join(map(str, name))
            raise ConfigError(
                f"{key} of the configuration cannot be moved to {wanted.get(name)}",
                hint=f"write {new} by hand, then restore again",
            )
    return text, after


def _with_state(text: str, state: Path) -> str:
    found, rows = lines(text), text.split("\n")
    setting = f"state = {json.dumps(str(state), ensure_ascii=False)}"
    if STATE in found:
        place = found[STATE] - 1
        if re.match(r"\s*state\s*=", rows[place]):
            rows[place] = setting
    else:
        rows.insert(found[("gateway",)], setting)
    return "\n".join(rows)
