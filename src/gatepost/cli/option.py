"""Options that many commands share, and the settings they lead to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.config import Settings

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration file.",
        show_default="$GATEPOST_CONFIG, gatepost.toml, /etc/gatepost/gatepost.toml",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings(config: Path | None) -> Settings:
    """Load the configuration; raises ConfigError."""
    from gatepost.config import load  # noqa: PLC0415  pydantic only where it is needed

    return load(config)


def consent(question: str, *, yes: bool, asked: bool = True) -> None:
    """Ask before doing what cannot be undone; raises Abort for no, ConfigError for nobody there."""
    if yes:
        return
    if not asked or not sys.stdin.isatty():
        raise ConfigError("this needs your consent", hint="--yes gives it")
    typer.confirm(question, abort=True)
