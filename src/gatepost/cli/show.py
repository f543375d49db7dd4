"""Print results: JSON for programs; lines with a little colour for people.

Colour only on a terminal and never under NO_COLOR; text from outside loses its control
characters, so that a subject or a certificate's name cannot drive the terminal.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, Protocol

Style = Literal["good", "warn", "bad", "dim", "bold", ""]
_CODES = {"good": "32", "warn": "33", "bad": "31", "dim": "2", "bold": "1"}


class Result(Protocol):
    """What an operation gives back."""

    def as_data(self) -> object:
        """Values JSON can carry."""
        ...


def as_json(result: Result) -> None:
    """Print the result as JSON."""
    data(result.as_data())


def data(value: object) -> None:
    """Print a value as JSON, in escapes where standard output cannot carry every character."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    json.dump(value, sys.stdout, ensure_ascii=not unicode, indent=2)
    sys.stdout.write("\n")


def say(text: str = "", style: Style = "") -> None:
    """Print one or several lines on standard output."""
    sys.stdout.write(paint(clean(text), style) + "\n")


def line(painted: str) -> None:
    """Print a line made of painted and cleaned pieces."""
    sys.stdout.write(painted + "\n")


def note(text: str) -> None:
    """Print a remark on standard error, where it does not disturb a result."""
    sys.stderr.write(clean(text) + "\n")


def paint(text: str, style: Style) -> str:
    """Wrap text in a colour, if colours are wanted."""
    if not style or not _coloured():
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns with a heading; cut by nothing, so that pipes see everything."""
    cells = [[clean(str(cell)) for cell in row] for row in rows]
    widths = [max(_width(row[i]) for row in [list(titles), *cells]) for i in range(len(titles))]
    sys.stdout.write(paint(_aligned(titles, widths), "bold") + "\n")
    for row in cells:
        sys.stdout.write(_aligned(row, widths) + "\n")


def pairs(rows: Iterable[tuple[str, object]]) -> None:
    """Print names and values below each other; rows without value are left out."""
    kept = [(name, clean(str(value))) for name, value in rows if str(value)]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        sys.stdout.write(f"{paint(name.ljust(width), 'dim')}  {value}\n")


def clean(text: str) -> str:
    """Replace control characters (terminal escapes, bidirectional overrides) by a mark."""
    return "".join(
        one if one in "\n\t" or unicodedata.category(one) not in {"Cc", "Cf", "Cs"} else "�"
        for one in text
    )


def size(octets: int) -> str:
    """A size for people: 1234567 is "1.2 MiB"."""
    number, unit = float(octets), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):  # noqa: B007  the unit reached is the answer
        if number < 1024:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def fingerprint(hexadecimal: str) -> str:
    """A fingerprint as people read it to each other, and as `openssl x509` prints it."""
    upper = hexadecimal.upper()
    return ":".join(upper[i : i + 2] for i in range(0, len(upper), 2))


def moment(when: datetime | None) -> str:
    """A moment for people, in UTC; nothing for none."""
    return f"{when:%Y-%m-%d %H:%M} UTC" if when else ""


def age(seconds: float) -> str:
    """A duration for people, in its largest fitting unit."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(
        cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
    ).rstrip()


def _width(text: str) -> int:
    """Columns on a terminal: East Asian wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def _coloured() -> bool:
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
