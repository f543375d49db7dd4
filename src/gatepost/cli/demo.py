"""`gatepost demo`: the founding story on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gatepost.cli import option


def demo(
    port: Annotated[int, typer.Option(help="Port of the page on 127.0.0.1.")] = 8025,
    keep: Annotated[
        Path | None, typer.Option(help="Keep everything in this new folder.", show_default=False)
    ] = None,
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Tell the story once, without a page.")
    ] = False,
    json: option.Json = False,
) -> None:
    """Watch a mail leave encrypted and arrive verified.

    Needs no root, no network and no DNS.  With --once it exits 0 only if every claim holds.
    """
    from gatepost.demo import run  # noqa: PLC0415  the web stack only where it is needed

    if once or json:
        raise typer.Exit(run.once(as_json=json, keep=keep))
    raise typer.Exit(run.page(port, keep=keep))
