"""The commands, in the order a new administrator meets them."""

from __future__ import annotations

from typing import Annotated

import typer

from gatepost import __version__
from gatepost.cli import ca, cert, evidence, federation, key, message, partner, policy, queue, vault
from gatepost.cli import config as config_commands
from gatepost.cli import database as database_commands
from gatepost.cli.backup import backup, restore
from gatepost.cli.check import check
from gatepost.cli.demo import demo
from gatepost.cli.explain import explain
from gatepost.cli.group import group
from gatepost.cli.init import init
from gatepost.cli.integrate import integrate
from gatepost.cli.route import route
from gatepost.cli.serve import reload, restart, serve

app = group(
    name="gatepost",
    help="Signs, encrypts, decrypts and verifies mail beside your mail server.",
    add_completion=True,
)
SET_UP, RUN, MESSAGE = "Set up", "While it runs", "One message"
app.command(rich_help_panel=SET_UP)(demo)
app.command(rich_help_panel=SET_UP)(init)
app.command(rich_help_panel=SET_UP)(check)
app.command(rich_help_panel=SET_UP)(integrate)
app.command(rich_help_panel=SET_UP)(serve)
app.command(rich_help_panel=RUN)(reload)
app.command(rich_help_panel=RUN)(restart)
app.command(rich_help_panel=RUN)(backup)
app.command(rich_help_panel=RUN)(restore)
app.command(rich_help_panel=RUN)(explain)
app.command(rich_help_panel=RUN)(route)
app.command(rich_help_panel=RUN)(queue.trace)
app.command(rich_help_panel=RUN)(queue.mailq)
for name, commands in (
    ("queue", queue),
    ("cert", cert),
    ("evidence", evidence),
    ("ca", ca),
    ("partner", partner),
    ("federation", federation),
    ("policy", policy),
):
    app.add_typer(commands.app, name=name, rich_help_panel=RUN)
for command in (message.inspect, message.verify, message.decrypt, message.sign, message.encrypt):
    app.command(rich_help_panel=MESSAGE)(command)
app.add_typer(config_commands.app, name="config", rich_help_panel=SET_UP)
app.add_typer(database_commands.app, name="database", rich_help_panel=SET_UP)
app.add_typer(vault.app, name="vault", rich_help_panel=SET_UP)
app.add_typer(key.app, name="key", rich_help_panel=SET_UP)


def _version(wanted: bool) -> None:  # noqa: FBT001  the signature Typer calls
    if wanted:
        typer.echo(f"gatepost {__version__}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 good, 1 a warning or a negative result, 2 an error.")
def _gatepost(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    __: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    pass
