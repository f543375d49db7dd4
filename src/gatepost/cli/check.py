"""`gatepost check`: PASS, WARN, FAIL or SKIP for every part of an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import option, show

if TYPE_CHECKING:
    from gatepost.admin.check import Report

_STYLES: dict[str, show.Style] = {"PASS": "good", "WARN": "warn", "FAIL": "bad", "SKIP": "dim"}
_CODES = {"PASS": 0, "WARN": 1, "FAIL": 2}


def check(
    config: option.Config = None,
    *,
    explain: Annotated[
        str, typer.Option(metavar="ID", help="Say what one check looks at, or 'all'.")
    ] = "",
    only: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Run this check; may be repeated.")
    ] = None,
    json: option.Json = False,
) -> None:
    """Check configuration, keys, network and queue; change nothing.

    Exit code 0: all is well, 1: something to look at, 2: something does not work.
    """
    from gatepost.admin import check as operation  # noqa: PLC0415

    if explain:
        _explain(explain, json=json)
        return
    report = operation.run(config, only or ())
    if json:
        show.as_json(report)
    else:
        _render(report)
    raise typer.Exit(_CODES[report.status])


def _explain(id_: str, *, json: bool) -> None:
    from gatepost.admin import check as operation  # noqa: PLC0415

    if json and id_ == "all":
        show.data([one.as_data() for one in operation.checks()])
        return
    if json:
        show.as_json(operation.explain(id_))
        return
    for one in operation.checks() if id_ == "all" else (operation.explain(id_),):
        show.say(f"{one.id}  {one.title}", "bold")
        show.say(f"    {one.explanation}")


def _render(report: Report) -> None:
    findings, blocked = list(report.findings), "needs a configuration without faults (CFG-01)"
    if others := [one for one in findings if one.detail == blocked]:
        findings = [one for one in findings if one.detail != blocked]
    for one in findings:
        word = show.paint(str(one.status), _STYLES[one.status])
        show.line(f"{word}  {one.id}  {show.clean(one.title)}: {show.clean(one.detail)}")
        if one.fix:
            show.say(f"              → {one.fix}", "dim")
    if others:
        skipped = show.paint("SKIP", "dim")
        show.line(f"{skipped}  {len(others)} more checks, which need a right configuration")
    counts = [f"{report.count(status)} {status}" for status in type(report.status)]
    show.say(", ".join(counts), _STYLES[report.status])
