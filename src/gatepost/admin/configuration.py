"""Look at the configuration file: what is in force, whether it is right, what may stand there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gatepost import config
from gatepost.config.complaint import Problem
from gatepost.config.settings import Settings
from gatepost.errors import ConfigError


@dataclass(frozen=True, slots=True)
class InForce:
    """The settings in force."""

    path: Path
    settings: Settings

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        data: dict[str, Any] = TypeAdapter(Settings).dump_python(self.settings, mode="json")
        return data

    @property
    def toml(self) -> str:
        """The settings as the text of a configuration file."""
        return "\n".join(_toml(self.as_data())).strip()


@dataclass(frozen=True, slots=True)
class Validation:
    """What is wrong with a file."""

    path: Path
    problems: tuple[Problem, ...]

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return {
            "path": str(self.path),
            "valid": not self.problems,
            "problems": [
                {"line": one.line, "key": one.key, "text": one.text} for one in self.problems
            ],
        }


@dataclass(frozen=True, slots=True)
class Schema:
    """The JSON Schema of the file."""

    data: Mapping[str, Any]

    def as_data(self) -> dict[str, Any]:
        """Values JSON can carry."""
        return dict(self.data)


def show(path: Path | None) -> InForce:
    """The settings in force; raises ConfigError."""
    found = path or config.find()
    return InForce(found, config.load(found))


def validate(path: Path | None) -> Validation:
    """What is wrong with the file; raises ConfigError when it cannot be read at all."""
    found = path or config.find()
    try:
        config.load(found)
    except ConfigError as error:
        problems = error.fields.get("problems")
        if not isinstance(problems, tuple):
            raise
        return Validation(found, problems)
    return Validation(found, ())


def schema() -> Schema:
    """The JSON Schema of the file."""
    return Schema(config.schema())


def _toml(data: Mapping[str, Any]) -> Iterator[str]:
    """The data as TOML: plain values first, then tables, then arrays of tables."""
    for name, table in data.items():
        for one in table if isinstance(table, list) else [table]:
            if one is None:
                continue
            yield f"\n[[{name}]]" if isinstance(table, list) else f"\n[{name}]"
            for key, value in one.items():
                if value is not None:
                    yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{k} = {_value(v)}" for k, v in value.items() if v is not None)
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
