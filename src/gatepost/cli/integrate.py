"""`gatepost integrate`: configuration for the mail server beside the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gatepost.cli import option, show


def integrate(
    target: Annotated[
        Literal["postfix", "exim", "m365", "google"], typer.Argument(help="The mail server.")
    ],
    topology: Annotated[
        Literal["after-queue", "before-queue", "smart-host", "mx", "parallel"],
        typer.Option(help="How the gateway stands beside it."),
    ] = "after-queue",
    write: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write the files there.", show_default=False),
    ] = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Print configuration for the mail server beside the gateway.

    It is made from gatepost.toml, and nothing is changed.  Each topology comes with its undo;
    docs/integrate.md tells which to take.
    """
    from gatepost.admin.integrate import integrate as made_for  # noqa: PLC0415

    made = made_for(config, target, topology, write)
    if json:
        show.as_json(made)
        return
    if made.written:
        for path in made.written:
            show.say(f"written  {path}")
        return
    for one in made.files:
        show.say(f"──── {one.name} ────", "bold")
        show.say(one.text)
