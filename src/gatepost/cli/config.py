"""`gatepost config`: look at the configuration file; nothing here changes it."""

from __future__ import annotations

import typer

from gatepost.cli import option, show
from gatepost.cli.group import group

app = group(help="Look at the configuration file.")


@app.command("show")
def show_(config: option.Config = None, *, json: option.Json = False) -> None:
    """Print the settings in force.

    File, environment and defaults together.
    """
    from gatepost.admin import configuration  # noqa: PLC0415

    result = configuration.show(config)
    if json:
        show.as_json(result)
        return
    show.say(f"# {result.path}", "dim")
    show.say(result.toml)


@app.command()
def validate(config: option.Config = None, *, json: option.Json = False) -> None:
    """Read the file and say whether it is right."""
    from gatepost.admin import configuration  # noqa: PLC0415

    result = configuration.validate(config)
    if json:
        show.as_json(result)
    else:
        for problem in result.problems:
            show.say(str(problem), "bad")
        if not result.problems:
            show.say(f"{result.path} is right", "good")
    raise typer.Exit(2 if result.problems else 0)


@app.command()
def schema(*, json: option.Json = False) -> None:  # noqa: ARG001  JSON is all there is
    """Print the JSON Schema of the file."""
    from gatepost.admin import configuration  # noqa: PLC0415

    show.as_json(configuration.schema())
