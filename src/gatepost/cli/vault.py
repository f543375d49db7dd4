"""`gatepost vault`: the key that everything else is sealed under."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import file, option, show
from gatepost.cli.group import group

if TYPE_CHECKING:
    from gatepost.admin.vault import State

app = group(help="The key that seals everything: show it, change it, wrap it.")


@app.command("show")
def show_(config: option.Config = None, *, json: option.Json = False) -> None:
    """Show which keys there are; exit code 1 while something hangs on an earlier one."""
    from gatepost.admin import vault  # noqa: PLC0415

    state = vault.show(config)
    _say(state, json=json)
    if state.others:
        raise typer.Exit(1)


@app.command()
def rotate(
    config: option.Config = None,
    *,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare",
            help="Only add the new key, to bring the file to the other nodes first.",
        ),
    ] = False,
    json: option.Json = False,
) -> None:
    """Change the key and seal every private key under the new one, while mail flows.

    Run it again if it was cut short.  The earlier key opens what waits in the queue until
    `gatepost vault retire` takes it away.
    """
    from gatepost.admin import vault  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    _say(vault.prepare(config) if prepare else vault.rotate(config, utc_now()), json=json)


@app.command()
def retire(config: option.Config = None, *, json: option.Json = False) -> None:
    """Take away the earlier key when nothing hangs on it; a copy goes beside the key file."""
    from gatepost.admin import vault  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    _say(vault.retire(config, utc_now()), json=json)


@app.command()
def wrap(config: option.Config = None, *, json: option.Json = False) -> None:
    """Write the key file anew, wrapped as [vault.wrap] says."""
    from gatepost.admin import vault  # noqa: PLC0415

    _say(vault.wrap(config), json=json)


@app.command()
def unlock(
    passphrase_file: file.PassphraseFile = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Bring the passphrase to a gateway that was started without; until then mail waits (451)."""
    from gatepost.admin import vault  # noqa: PLC0415

    done = vault.unlock(config, file.passphrase(passphrase_file, "Passphrase of the vault"))
    if json:
        show.as_json(done)
    else:
        show.say("The vault is open.", "good")


def _say(state: State, *, json: bool) -> None:
    if json:
        show.as_json(state)
        return
    wrapped = ", wrapped" if state.is_wrapped else ""
    show.say(f"{state.source}: key {state.current} seals{wrapped}.", "good")
    if state.resealed:
        show.say(f"{state.resealed} private keys were sealed anew.")
    for one in state.retired:
        show.say(f"{one} holds a key nothing hangs on: delete it with the backups made under it.")
    if state.others:
        show.say(
            f"{', '.join(state.others)} still opens: {state.left} of {state.private_keys} private "
            f"keys, {state.evidence} records of evidence and at most {state.waiting} queued mails "
            "hang on it.",
            "warn",
        )
