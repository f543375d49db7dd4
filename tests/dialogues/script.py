"""Reads dialogue scripts (readme.md has the grammar)."""

from dataclasses import dataclass, fields
from pathlib import Path

from gatepost.smtp.settings import ServerSettings

CLOSED = None


@dataclass(frozen=True)
class Turn:
    """What the client sends, then what it must hear; a None is the end of the connection."""

    octets: bytes
    answers: tuple[str | None, ...]


@dataclass(frozen=True)
class Script:
    settings: ServerSettings
    turns: tuple[Turn, ...]


def read(path: Path) -> Script:
    """Parse one file."""
    options: dict[str, object] = {"hostname": "gw.example"}
    turns: list[tuple[bytearray, list[str | None]]] = [(bytearray(), [])]
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        kind, text = line[:2], line[3:]
        if kind in ("C:", "C!"):
            if turns[-1][1]:
                turns.append((bytearray(), []))
            turns[-1][0].extend(_octets(kind, text))
        elif kind == "S:":
            turns[-1][1].append(text)
        elif kind == "S.":
            turns[-1][1].append(CLOSED)
        elif kind.startswith("="):
            options |= dict(_option(word) for word in line[1:].split())
        elif line and not line.startswith("#"):
            raise ValueError(f"{path.name}:{number}: {line!r} is no line of a dialogue")
    return Script(
        ServerSettings(**options),  # type: ignore[arg-type]  # checked by _option
        tuple(Turn(bytes(octets), tuple(answers)) for octets, answers in turns),
    )


def _octets(kind: str, text: str) -> bytes:
    if kind == "C:":
        return text.encode() + b"\r\n"
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


def _option(word: str) -> tuple[str, object]:
    name, _, value = word.partition("=")
    kind = next(str(field.type) for field in fields(ServerSettings) if field.name == name)
    match kind:
        case "int":
            return name, int(value)
        case "tuple[str, ...]":
            return name, tuple(value.split(","))
        case "bool":
            return name, value == "true"
        case _:
            return name, value


def matches(expected: str, line: str) -> bool:
    """Whether a reply line is the expected one."""
    if expected.endswith("*"):
        return line.startswith(expected[:-1])
    return line == expected
