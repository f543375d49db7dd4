"""`gatepost serve`: run the gateway."""

from __future__ import annotations

from typing import Annotated

import typer

from gatepost.cli import option


def serve(
    config: option.Config = None,
    worker: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    from gatepost.admin import start  # noqa: PLC0415
    from gatepost.config import find  # noqa: PLC0415
    from gatepost.engine import supervisor  # noqa: PLC0415

    path = config or find()
    if worker is None:  # workers are started by one that has considered it
        start.consider(path)
    raise typer.Exit(supervisor.serve(path, worker))
