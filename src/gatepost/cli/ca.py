"""`gatepost ca`: the embedded CA's list, and the ceremony of its root."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import file, option, show
from gatepost.cli.group import group
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.admin.authority import Ceremony
    from gatepost.admin.credential import Passphrase

app = group(help="The embedded CA: its revocation list, its root's key.")

Second = Annotated[
    Path | None,
    typer.Option(help="File with a second person's passphrase (four eyes).", show_default=False),
]
FourEyes = Annotated[
    bool, typer.Option("--four-eyes", help="Ask a second person for a passphrase.")
]
RootFile = Annotated[Path, typer.Argument(metavar="FILE", help="The root's sealed file.")]


@app.command()
def crl(
    output: file.Output = file.STDIO,
    config: option.Config = None,
    *,
    root: Annotated[bool, typer.Option("--root", help="The root's list.")] = False,
    json: option.Json = False,
) -> None:
    """Write the current certificate revocation list, in DER."""
    from gatepost.admin import authority  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    if json and output == file.STDIO:
        raise ConfigError("--json and the list would mix", hint="--output FILE")
    found = authority.revocations(config, utc_now(), root=root)
    file.write(output, [found.octets])
    if json:
        show.as_json(found)


@app.command("export-root")
def export_root(
    path: RootFile,
    passphrase_file: file.PassphraseFile = None,
    second_file: Second = None,
    config: option.Config = None,
    *,
    four_eyes: FourEyes = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    json: option.Json = False,
) -> None:
    """Move the root's key out of the vault into a file sealed by a passphrase.

    The issuing CA goes on without it.  The file is read back before the vault forgets the
    key; backups made until now still hold it.
    """
    from gatepost.admin import authority  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    asked = _passphrases(passphrase_file, second_file, four_eyes=four_eyes)
    option.consent("The root's key will be only in this file. Go on?", yes=yes, asked=not json)
    _show(authority.export_root(config, path, asked, utc_now()), json=json)


@app.command("import-root")
def import_root(
    path: RootFile,
    passphrase_file: file.PassphraseFile = None,
    second_file: Second = None,
    config: option.Config = None,
    *,
    four_eyes: FourEyes = False,
    issuing: Annotated[bool, typer.Option("--issuing", help="Make a new issuing CA.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the key in the vault.")] = False,
    json: option.Json = False,
) -> None:
    """Use the root from its file: renew its list, and with --issuing the issuing CA."""
    from gatepost.admin import authority  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    asked = _passphrases(passphrase_file, second_file, four_eyes=four_eyes)
    done = authority.import_root(config, path, asked, utc_now(), issuing=issuing, keep=keep)
    _show(done, json=json)


def _passphrases(
    first: Path | None, second: Path | None, *, four_eyes: bool
) -> tuple[Passphrase, ...]:
    asked = file.passphrase(first, "Passphrase of the root")
    if second is None and not four_eyes:
        return (asked,)
    return asked, file.passphrase(second, "Passphrase of the second person")


def _show(done: Ceremony, *, json: bool) -> None:
    if json:
        show.as_json(done)
        return
    show.pairs(
        [
            ("root", done.root),
            ("SHA-256", done.fingerprint),
            ("issuing CA", done.issuing),
            ("root's list until", f"{done.list_until:%Y-%m-%d}"),
            ("root's key", "not in the vault" if done.left else "in the vault"),
        ]
    )
