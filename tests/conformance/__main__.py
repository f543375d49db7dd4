"""`make conformance`: every entry of the corpus against the product, a table, exit 1 on surprises.

`--source NAME` only one source, `--json` for programs, `--write` renews docs/conformance.md.
"""

# ruff: noqa: T201  printing is what this command is for

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence

from tests.conformance.entry import FOLDER, ROOT
from tests.conformance.report import Result, exceptions, reasons, rows, run, text

PAGE = ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- generated: begin -->\n", "<!-- generated: end -->\n"


def main() -> int:
    """Judge, print, and say by the exit code whether anything is unexplained."""
    options = _options()
    if not (FOLDER / "expected.jsonl").is_file():
        print(f"no message corpus in {FOLDER} (set GATEPOST_CORPUS)", file=sys.stderr)
        return 2
    began = time.monotonic()
    results = run(FOLDER, options.source)
    wrong = [one for one in results if one.is_unexpected]
    stale = [one.entry.id for one in results if one.is_stale]
    if not options.source:
        stale += sorted(exceptions().keys() - {one.entry.id for one in results})
    if options.json:
        print(json.dumps(_data(results), indent=2))
    else:
        print(text(rows(results)))
        _tell(results, wrong, stale, time.monotonic() - began)
    if options.write:
        _write(results)
    return 1 if wrong or stale else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.conformance", description=__doc__)
    parser.add_argument("--source", default="", help="only entries of this source")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--write", action="store_true", help="renew docs/conformance.md")
    return parser.parse_args()


def _tell(
    results: Sequence[Result], wrong: Sequence[Result], stale: Sequence[str], seconds: float
) -> None:
    for reason, some in reasons(results).items():
        print(f"\n{len(some)} exceptions: {reason}")
    for one in wrong:
        print(f"\nUNEXPECTED {one}")
    for name in stale:
        print(f"\nSTALE exception: {name}")
    slowest = max(results, key=lambda one: one.seen.seconds)
    print(
        f"\n{len(results)} entries in {seconds:.1f} s; the slowest took "
        f"{slowest.seen.seconds * 1000:.0f} ms ({slowest.entry.id})"
    )


def _data(results: Sequence[Result]) -> dict[str, object]:
    return {
        "sources": {row.source: row.counts for row in rows(results)},
        "entries": [
            {
                "id": one.entry.id,
                "expected": one.entry.label,
                "judged": one.entry.is_judged,
                "outcome": one.seen.outcome,
                "complaints": one.complaints,
                "reason": one.reason,
            }
            for one in results
        ],
    }


def _write(results: Sequence[Result]) -> None:
    page = PAGE.read_text()
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    PAGE.write_text(before + BEGIN + _page(results) + END + after)


def _page(results: Sequence[Result]) -> str:
    lines = [text(rows(results)), "", "## Exceptions and their reasons", ""]
    for reason, some in reasons(results).items():
        lines += [f"### {reason}", ""]
        lines += [f"- `{one.entry.id}`: expected {one.entry.label}; {_why(one)}" for one in some]
        lines.append("")
    return "\n".join(lines)


def _why(one: Result) -> str:
    return "; ".join(one.complaints)


if __name__ == "__main__":
    sys.exit(main())
