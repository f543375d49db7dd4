"""`gatepost key`: private keys leave and come back with four eyes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import file, option, show
from gatepost.cli.group import group
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.admin.credential import Passphrase

app = group(help="Private keys: export and import with two administrators.")

First = Annotated[
    Path | None,
    typer.Option("--first", metavar="FILE", help="File with the first administrator's passphrase."),
]
Second = Annotated[
    Path | None,
    typer.Option("--second", metavar="FILE", help="File with the second's passphrase."),
]


@app.command()
def export(
    which: Annotated[str, typer.Argument(help="Address, or fingerprint of the certificate.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="New file.")],
    first: First = None,
    second: Second = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Write a private key as PKCS #12 under the passphrases of two administrators.

    Any program opens it with the two passphrases typed one after the other.
    """
    from gatepost.admin import ceremony  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    if output.exists():
        raise ConfigError(f"{output} exists already", hint="name another file")
    one, other = _asked(first, second)
    left = ceremony.export(config, which, one, other, utc_now())
    file.write(output, [left.octets], private=True)
    if json:
        show.as_json(left)
    else:
        show.say(f"The key of {left.name} is in {output}.", "good")
        show.say(f"Remembered: {left.said}")


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="File that `gatepost key export` wrote.")],
    first: First = None,
    second: Second = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Take a key back that left with four eyes."""
    from gatepost.admin import ceremony  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    one, other = _asked(first, second)
    found = ceremony.take_back(config, path, one, other, utc_now())
    if json:
        show.as_json(found)
    else:
        show.say(f"The key of {found.entries[0].certificate.name} is here.", "good")


@app.command()
def adopt(
    label: Annotated[str, typer.Argument(help="The key's label (CKA_LABEL).")],
    certificate: Annotated[
        list[Path],
        typer.Option("--certificate", metavar="FILE", help="Its certificate; may be repeated."),
    ],
    for_: Annotated[
        list[str] | None,
        typer.Option("--for", metavar="ADDRESS", help="Use it for these, not those it names."),
    ] = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Use a key that was made in the token by its own tools; it stays there."""
    from gatepost.admin import token  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = token.adopt(config, label, certificate, for_ or (), utc_now())
    if json:
        show.as_json(found)
        return
    for remark in found.remarks:
        show.say(remark, "warn")
    show.say(f"The key of {found.entries[0].certificate.name} is used where it is.", "good")


@app.command()
def exports(config: option.Config = None, *, json: option.Json = False) -> None:
    """List the keys that have left, when, and by whom."""
    from gatepost.admin import ceremony  # noqa: PLC0415

    found = ceremony.exports(config)
    if json:
        show.as_json(found)
        return
    for line in found.lines:
        show.say(line)
    if not found.lines:
        show.note("no private key has left")


def _asked(first: Path | None, second: Path | None) -> tuple[Passphrase, Passphrase]:
    return (
        file.passphrase(first, "First administrator's passphrase"),
        file.passphrase(second, "Second administrator's passphrase"),
    )
