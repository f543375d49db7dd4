"""Turn pydantic's errors into sentences an administrator can act on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gatepost.config.locate import line_of
from gatepost.config.settings import Settings

Key = tuple[str | int, ...]
_PLAINER = (
    ("expected greater than or equal to", "expected at least"),
    ("expected less than or equal to", "expected at most"),
)
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the file, and where; line 0: nothing of it is there."""

    path: Path
    line: int
    key: str
    text: str

    def __str__(self) -> str:
        line = f" line {self.line}" if self.line else ""
        key = f"{', ' if line else ': '}{self.key}" if self.key else ""
        return f"{self.path}{line}{key}: {self.text}"


def problems(error: ValidationError, path: Path, found: dict[Key, int]) -> tuple[Problem, ...]:
    """Every error as a problem, in the order of the file; consequences of others left out."""
    errors = [(one, _key(one["loc"])) for one in error.errors(include_url=False)]
    keys = [key for _, key in errors]
    meant = {(*key[:-1], _nearest(key)) for one, key in errors if one["type"] in _UNKNOWN}
    out = [
        _problem(path, found, one, key)
        for one, key in errors
        if not (one["type"] == "missing" and key in meant)
        and not (
            one["type"] == "too_short" and any(other[:-1][: len(key)] == key for other in keys)
        )
    ]
    return tuple(sorted(out, key=lambda problem: problem.line))


def _problem(path: Path, found: dict[Key, int], one: ErrorDetails, key: Key) -> Problem:
    text = _sentence(one, key)
    named, _, rest = text.partition(": ")
    if not key and named.replace(".", "").replace("_", "").isalpha():
        key, text = tuple(named.split(".")), rest  # about several keys: the one to look at
    return Problem(path, line_of(found, key), _written(key), text)


def _key(location: tuple[int | str, ...]) -> Key:
    """Drop what pydantic adds for unions (type names): keep keys and positions."""
    kind: Any = Settings
    key: list[str | int] = []
    for part in location:
        known = fields_of(kind)
        last = part is location[-1] and _is_key(str(part))
        if isinstance(part, int) or known is None or not key or part in known or last:
            key.append(part)
            kind = _member(kind, part)
    return tuple(key)


def _is_key(part: str) -> bool:
    return part.isidentifier() and not any(
        part.startswith(word) for word in ("function-", "IPv4", "IPv6", "dataclass")
    )


def _written(key: Key) -> str:
    text = ""
    for part in key:
        text += f"[{part + 1}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _sentence(one: ErrorDetails, key: Key) -> str:
    match one["type"]:
        case "missing":
            return "is missing"
        case unknown if unknown in _UNKNOWN:
            return f"unknown key{_suggestion(key)}"
        case "value_error":
            found = f", found {_shown(one['input'])}" if "expected" in one["msg"] else ""
            return one["msg"].removeprefix("Value error, ") + (
                found if isinstance(one["input"], str | int | float) else ""
            )
        case "dataclass_type":
            return f"expected a table, found {_shown(one['input'])}"
        case "tuple_type":
            return f"expected a list, found {_shown(one['input'])}"
        case "too_short":
            return "needs at least one entry"
        case _:
            message = one["msg"].replace("Input should be ", "expected ", 1)
            for theirs, ours in _PLAINER:
                message = message.replace(theirs, ours)
            return f"{message[:1].lower()}{message[1:]}, found {_shown(one['input'])}"


def _shown(value: object) -> str:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _suggestion(key: Key) -> str:
    wrong, known = str(key[-1]), _known(key)
    if near := _nearest(key):
        return f"; did you mean {near}?"
    if longer := [one for one in known if one.startswith(wrong)]:
        return f"; did you mean {' or '.join(longer)}?"
    for section, kind in get_type_hints(Settings).items():
        if wrong in (fields_of(_inner(kind)) or ()):
            return f"; {wrong} belongs in [{section}]"
    return f"; known here: {', '.join(known)}" if known else ""


def _nearest(key: Key) -> str:
    """The known key most like this one; empty if none is."""
    return next(iter(get_close_matches(str(key[-1]), _known(key), n=1, cutoff=0.6)), "")


def _known(key: Key) -> tuple[str, ...]:
    kind: Any = Settings
    for part in key[:-1]:
        kind = _member(kind, part)
    return fields_of(kind) or ()


def fields_of(kind: Any) -> tuple[str, ...] | None:
    """The keys a table may have; None for what is no table."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return tuple(one.name for one in dataclasses.fields(kind))
    return None


def _member(kind: Any, part: str | int) -> Any:
    if isinstance(part, int) or fields_of(kind) is None:
        return _inner(kind)
    return _inner(get_type_hints(kind).get(part))


def _inner(kind: Any) -> Any:
    """The dataclass inside Annotated, tuple or a union, if there is one."""
    if fields_of(kind) is not None:
        return kind
    for inner in get_args(kind):
        if fields_of(found := _inner(inner)) is not None:
            return found
    return None
