"""`gatepost explain`: what would be done with a message, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gatepost.cli import file, option, show


def explain(
    message: Annotated[Path, typer.Argument(help="Message; - is standard input.")],
    from_: Annotated[
        str, typer.Option("--from", metavar="ADDRESS", help="Return path; '<>' for none.")
    ],
    to: Annotated[list[str], typer.Option(metavar="ADDRESS", help="Recipient; may be repeated.")],
    direction: Annotated[
        Literal["outbound", "inbound"] | None,
        typer.Option(help="By default told by the recipient's domain."),
    ] = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Tell what would be done with a message, and why.

    Nothing is sent, stored or issued.

    Exit code 1 when a recipient would not get it.
    """
    from gatepost.admin import explanation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    request = explanation.Request.parse(file.read(message), from_, to, direction or "")
    found = explanation.explain(config, request, utc_now())
    if json:
        show.as_json(found)
    else:
        show.say(found.text)
    raise typer.Exit(0 if found.good else 1)
