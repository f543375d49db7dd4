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
    from gatepost.config import find  # noqa: PLC0415
    from gatepost.engine import supervisor  # noqa: PLC0415

    raise typer.Exit(supervisor.serve(config or find(), worker))
