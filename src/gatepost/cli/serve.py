"""`gatepost serve`, `reload` and `restart`: run the gateway, and tell the one that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import option, show

if TYPE_CHECKING:
    from gatepost.admin.lifecycle import Changed


def serve(
    config: option.Config = None,
    worker: Annotated[bool, typer.Option("--worker", hidden=True)] = False,  # noqa: FBT002
    keys: Annotated[bool, typer.Option("--keys", hidden=True)] = False,  # noqa: FBT002
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    SIGHUP takes a changed configuration into use, SIGUSR2 a new version of the program.
    """
    from gatepost.config import find  # noqa: PLC0415

    path = config or find()
    if keys:  # the same, for the key process
        from gatepost.engine.keeper import keep  # noqa: PLC0415

        raise typer.Exit(keep(path))
    if worker:  # started by a supervisor
        from gatepost.engine.worker import work  # noqa: PLC0415

        raise typer.Exit(work(path))
    from gatepost.admin import start  # noqa: PLC0415
    from gatepost.engine import supervisor  # noqa: PLC0415

    raise typer.Exit(supervisor.serve(path, supervisor.Precaution(start.consider, start.prove)))


def reload(config: option.Config = None, *, json: option.Json = False) -> None:
    """Take a changed configuration into use.

    Nobody is refused meanwhile.  Connections under way end with the old one.  Whatever is
    wrong leaves it in force.
    """
    from gatepost.admin import lifecycle  # noqa: PLC0415

    _show(lifecycle.change(config, "reload"), json=json)


def restart(config: option.Config = None, *, json: option.Json = False) -> None:
    """Run the program as it is installed now, after an upgrade.

    Nobody is refused meanwhile.
    """
    from gatepost.admin import lifecycle  # noqa: PLC0415

    _show(lifecycle.change(config, "restart"), json=json)


def _show(changed: Changed, *, json: bool) -> None:
    if json:
        show.as_json(changed)
        return
    workers = ", ".join(map(str, changed.workers))
    what = "new configuration" if changed.done == "reload" else "program as installed"
    show.say(f"{what} in use (process {changed.process}, workers {workers})", "good")
