"""`gatepost evidence`: what proves the signatures of mail that arrived."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import file, option, show
from gatepost.cli.group import group
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.admin.testimony import Judged

app = group(help="Evidence of verified signatures: list, export, head, verify.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(help="Show at most so many.")] = 200,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """List what is kept; exit code 1 when there is nothing."""
    from gatepost.admin import evidence  # noqa: PLC0415

    found = evidence.find(config, limit)
    if json:
        show.data([one.as_data() for one in found])
    else:
        _table(found)
    raise typer.Exit(0 if found else 1)


@app.command()
def export(
    output: file.Output = file.STDIO,
    first: Annotated[int, typer.Option(help="Number of the first record.")] = 1,
    last: Annotated[int | None, typer.Option(help="Number of the last record.")] = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Write records into one file, signed by the postmaster's key; it holds the mails."""
    from gatepost.admin import evidence  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    if json and output == file.STDIO:
        raise ConfigError("--json and the evidence would mix", hint="--output FILE")
    file.write(output, evidence.export(config, first, last, utc_now()), private=True)
    if json:
        show.data({"file": str(output), "octets": output.stat().st_size})


@app.command()
def head(
    output: file.Output = file.STDIO,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Write which record is the last now, signed: kept elsewhere, it shows a cut later."""
    from gatepost.admin import evidence  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    if json and output == file.STDIO:
        raise ConfigError("--json and the head would mix", hint="--output FILE")
    line = evidence.head(config, utc_now())
    file.write(output, (line,))
    if json:
        show.data({"file": str(output), "octets": len(line)})


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A file that `evidence export` wrote.")],
    head: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="A head of the chain that was kept elsewhere; may be repeated."
        ),
    ] = None,
    stamps: Annotated[
        Path | None,
        typer.Option(help="PEM file of CAs by which time stamps are checked.", show_default=False),
    ] = None,
    *,
    json: option.Json = False,
) -> None:
    """Check a file by itself: no octet changed, no record missing or moved.

    Every record is judged again as of its time, by the path, lists and answers kept with it;
    exit code 1 when one says something else now. Whether the signer is whom you take him for,
    you compare by the fingerprint shown.
    """
    from gatepost.admin import evidence  # noqa: PLC0415

    found = evidence.verify(path, head or (), stamps)
    if json:
        show.as_json(found)
    else:
        _table(found.kept)
        show.say(f"unchanged since {found.signer} signed it", "good")
        show.say(f"SHA-256 of the signer's certificate: {found.fingerprint}")
        for one in found.heads:
            show.say(f"goes on from the head of record {one.number}, signed by {one.signer.name}")
        for stamp in found.stamps:
            show.say(f"up to record {stamp.number}: there by {stamp.when:%Y-%m-%d %H:%M:%S} UTC")
        if found.unchecked:
            show.note(f"{found.unchecked} time stamps were not checked: --stamps FILE checks them")
        for each in found.kept:
            if not each.agrees:
                said = "; ".join((each.path, each.signature, *each.revocation))
                show.note(f"record {each.number} is judged otherwise now: {said}")
    raise typer.Exit(0 if found.agrees else 1)


def _table(found: tuple[Judged, ...]) -> None:
    rows = [
        (
            str(one.number),
            f"{one.at:%Y-%m-%d %H:%M}",
            one.queue_id or "removed",
            ", ".join(one.signers),
        )
        for one in found
    ]
    if rows:
        show.table(("NUMBER", "KEPT", "QUEUE ID", "SIGNED BY"), rows)
    else:
        show.note("no evidence is kept: [inbound] keep_evidence = true in the policy keeps it")
