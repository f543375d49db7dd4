"""Run the entries, take the known exceptions out, print the rest by source."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.conformance.entry import Entry, entries
from tests.conformance.expectation import LIMIT, complaints
from tests.conformance.observe import observe
from tests.conformance.seen import Seen

EXCEPTIONS = Path(__file__).parent / "exceptions.toml"


@dataclass(frozen=True)
class Result:
    """One entry, judged."""

    entry: Entry
    seen: Seen = field(repr=False)
    complaints: tuple[str, ...]
    reason: str = ""  # why a complaint is known and accepted

    @property
    def is_unexpected(self) -> bool:
        """A complaint nobody has explained; what never may happen cannot be explained away."""
        return bool(self.complaints) and (not self.reason or self.is_harm)

    @property
    def is_harm(self) -> bool:
        """Whether it crashed, hung, or changed mail that was not opened."""
        return bool(self.seen.surprise or self.seen.changed) or self.seen.seconds > LIMIT

    @property
    def is_stale(self) -> bool:
        """Explained, but there is nothing to explain any more."""
        return bool(self.reason) and not self.complaints

    def __str__(self) -> str:
        return f"{self.entry.id}: {'; '.join(self.complaints)} ({self.seen.outcome[:300]})"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    source: str
    results: tuple[Result, ...]

    @property
    def counts(self) -> dict[str, int]:
        """The columns."""
        judged = [one for one in self.results if one.entry.is_judged]
        attacks = [one for one in self.results if one.entry.is_attack]
        return {
            "entries": len(self.results),
            "judged": len(judged),
            "as expected": sum(not one.complaints for one in judged),
            "exceptions": sum(
                bool(one.complaints) and not one.is_unexpected for one in self.results
            ),
            "unexpected": sum(one.is_unexpected or one.is_stale for one in self.results),
            "attacks": len(attacks),
            "accepted": sum(one.is_unexpected for one in attacks),
        }


@cache
def exceptions() -> Mapping[str, str]:
    """Entry to reason."""
    found: dict[str, str] = {}
    for one in tomllib.loads(EXCEPTIONS.read_text())["exception"]:
        for name in one["entries"]:
            assert name not in found, f"{name} is excepted twice"
            found[name] = one["reason"]
    return found


def run(folder: Path, source: str = "") -> tuple[Result, ...]:
    """Judge every entry of a source, or all."""
    return tuple(map(judge, entries(folder, source)))


def judge(entry: Entry) -> Result:
    """Run one entry."""
    seen = observe(entry)
    found = tuple(dict.fromkeys(complaints(entry, seen)))
    return Result(entry, seen, found, exceptions().get(entry.id, ""))


def rows(results: Iterable[Result]) -> list[Row]:
    """The table, by source and a last line for all."""
    by_source: dict[str, list[Result]] = {}
    for one in results:
        by_source.setdefault(one.entry.source, []).append(one)
    table = [Row(name, tuple(some)) for name, some in sorted(by_source.items())]
    return [*table, Row("all", tuple(one for row in table for one in row.results))]


def text(table: Sequence[Row]) -> str:
    """The table for a terminal and, since Markdown looks the same, for the documentation."""
    names = list(table[-1].counts)
    lines = ["| source | " + " | ".join(names) + " |", "|---|" + "--:|" * len(names)]
    for row in table:
        shown = (str(row.counts[name]) for name in names)
        lines.append(f"| {row.source} | " + " | ".join(shown) + " |")
    return _aligned(lines)


def _aligned(lines: Sequence[str]) -> str:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    done = []
    for row in cells:
        if row[0].startswith("---"):
            padded = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        else:
            rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            padded = [row[0].ljust(widths[0]), *rest]
        done.append("| " + " | ".join(padded) + " |")
    return "\n".join(done)


def reasons(results: Iterable[Result]) -> dict[str, list[Result]]:
    """The exceptions by reason, the commonest first."""
    found: dict[str, list[Result]] = {}
    for one in results:
        if one.reason and one.complaints:
            found.setdefault(one.reason, []).append(one)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
