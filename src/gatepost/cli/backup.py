"""`gatepost backup` and `gatepost restore`: everything in one sealed file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import option, show
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.admin.backup import Summary

_SYSTEM = Path("/etc/gatepost/gatepost.toml")

Secret = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File with the passphrase or recovery key; without it you are asked.",
        show_default=False,
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file to write.")],
    secret: Secret = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Write everything there is into one sealed file.

    That is keys, directory, policy, queue and configuration.  The gateway may run meanwhile.
    The file and its passphrase are all that a restore needs: keep them in different places.
    """
    from gatepost.admin import backup as backups  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    saved = backups.save(config, file, _passphrase(secret, twice=True), utc_now())
    if json:
        show.as_json(saved)
    else:
        show.say(f"{saved.path} holds everything ({show.size(saved.size)})", "good")
        _show(saved.summary)
        for one in saved.left_out:
            show.note(f"left out, its body cannot be read: {one}")
    raise typer.Exit(1 if saved.left_out else 0)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Backup to read.")],
    secret: Secret = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="Configuration file: used if there is one, written otherwise.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder for queue and database.", show_default=False)
    ] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only read it and say what it is.")
    ] = False,
    json: option.Json = False,
) -> None:
    """Bring an installation back from a backup.

    The whole file is checked before anything is written, and nothing that is there is
    overwritten.
    """
    from gatepost.admin import backup as backups  # noqa: PLC0415

    if check:
        summary = backups.inspect(file, _passphrase(secret))
        if json:
            show.as_json(summary)
        else:
            show.say(f"{file} is whole", "good")
            _show(summary)
        return
    place = config or (_SYSTEM if os.geteuid() == 0 else Path.cwd() / _SYSTEM.name)
    restored = backups.restore(file, _passphrase(secret), place, state)
    if json:
        show.as_json(restored)
        return
    show.say(f"restored to {restored.state}", "good")
    _show(restored.summary)
    for path in restored.kept:
        show.say(f"kept     {path}")
    for path in restored.written:
        show.say(f"written  {path}")
    if restored.remark:
        show.say(restored.remark, "warn")
    show.say(f"Next: chown what belongs to the service, gatepost check --config {restored.config}")


def _show(summary: Summary) -> None:
    made = summary.manifest
    show.pairs(
        (
            ("of", f"{made.hostname} ({', '.join(made.domains)})"),
            ("made", f"{made.created} by gatepost {made.version}"),
            ("queued", f"{summary.items} items, {summary.records} records"),
            ("directory", f"{summary.rows} rows"),
            ("files", ", ".join(summary.files)),
        )
    )


def _passphrase(secret: Path | None, *, twice: bool = False) -> str:
    if secret is not None:
        if secret.stat().st_mode & 0o077:
            raise ConfigError(f"{secret} may be read by others", hint=f"chmod 600 {secret}")
        try:
            return secret.read_text("utf-8")[:4096]
        except UnicodeDecodeError:
            raise ConfigError(f"{secret} is not UTF-8 text") from None
    if not sys.stdin.isatty():
        raise ConfigError(
            "the passphrase is missing and there is no terminal to ask at",
            hint="--secret FILE reads it from a file",
        )
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice))
