"""`gatepost policy`: how mail is treated, with its history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import file, option, show
from gatepost.cli.group import group

if TYPE_CHECKING:
    from gatepost.admin.policy import Change

app = group(help="Policy: how mail is treated.")

Dry = Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")]


@app.command("show")
def show_(
    rev: Annotated[int | None, typer.Argument(help="A former revision.")] = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Show the policy in force, or a former revision."""
    from gatepost.admin import policy  # noqa: PLC0415

    found = policy.show(config, rev)
    if json:
        show.as_json(found)
        return
    one = found.revision
    if one is None:
        show.say("# no policy was written: the built-in one counts", "dim")
    else:
        note = f"{one.note}, " if one.note else ""
        show.say(f"# revision {one.rev}, {note}{one.author}, {show.moment(one.at)}", "dim")
    show.say(found.toml.rstrip())
    for expansion in found.profiles:
        show.say(f"# {expansion.where}: profile {expansion.profile} brings", "dim")
        for name, value in expansion.settings.items():
            show.say(f'#   {name} = "{value}"', "dim")


@app.command()
def export(
    output: file.Output = file.STDIO,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Write the policy in force as TOML.

    `policy apply` takes it back after editing.
    """
    from gatepost.admin import policy  # noqa: PLC0415

    found = policy.show(config)
    if json:
        show.as_json(found)
    else:
        file.write(output, [found.toml.encode()])


@app.command()
def apply(
    path: Annotated[Path, typer.Argument(help="TOML file; - is standard input.")],
    note: Annotated[str, typer.Option(help="Why, for the history.")] = "",
    config: option.Config = None,
    *,
    dry_run: Dry = False,
    json: option.Json = False,
) -> None:
    """Put a policy in force.

    The running gateway follows within a second.
    """
    from gatepost.admin import policy  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415
    from gatepost.errors import ConfigError  # noqa: PLC0415

    try:
        text = file.read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text") from error
    _show_change(policy.apply(config, text, str(path), note, utc_now(), dry=dry_run), json=json)


@app.command()
def history(
    limit: Annotated[int, typer.Option(help="Show at most so many.")] = 50,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """List revisions, newest first."""
    from gatepost.admin import policy  # noqa: PLC0415

    found = policy.history(config, limit)
    if json:
        show.as_json(found)
        return
    rows = [(one.rev, show.moment(one.at), one.author, one.note) for one in found.revisions]
    show.table(("REV", "AT", "BY", "NOTE"), rows)


@app.command()
def rollback(
    rev: Annotated[int, typer.Argument(help="The revision to go back to.")],
    config: option.Config = None,
    *,
    dry_run: Dry = False,
    json: option.Json = False,
) -> None:
    """Put a former revision in force again, as a new one."""
    from gatepost.admin import policy  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    _show_change(policy.rollback(config, rev, utc_now(), dry=dry_run), json=json)


def _show_change(change: Change, *, json: bool) -> None:
    if json:
        show.as_json(change)
        return
    styles: dict[str, show.Style] = {"+": "good", "-": "bad"}
    for line in change.diff:
        show.say(line, styles.get(line[:1], "dim"))
    if change.revision is not None:
        show.say(f"revision {change.revision.rev} is in force", "good")
    elif not change.diff:
        show.say("nothing changes")
