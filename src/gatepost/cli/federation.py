"""`gatepost federation`: other companies' gateways, met by what they announce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import option, show
from gatepost.cli.group import group

if TYPE_CHECKING:
    from gatepost.admin.federation import Peers

app = group(help="Other companies' gateways, met by what they announce.")

Domain = Annotated[str, typer.Argument(help="The other company's mail domain.")]


@app.command("list")
def list_(config: option.Config = None, *, json: option.Json = False) -> None:
    """List the gateways known; exit code 1 when there is none."""
    from gatepost.admin import federation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = federation.every(config, utc_now())
    if json:
        show.as_json(found)
    elif not found.peers:
        show.note("no gateway is known")
    else:
        rows = [
            (
                one.domain,
                one.announcement.key,
                one.evidence,
                f"{one.first_seen:%Y-%m-%d}",
                f"{one.announcement.expires:%Y-%m-%d}" if one.is_live(found.now) else "expired",
            )
            for one in found.peers
        ]
        show.table(("DOMAIN", "KEY", "EVIDENCE", "SINCE", "UNTIL"), rows)
    raise typer.Exit(0 if found.peers else 1)


@app.command()
def export(
    domain: Annotated[str, typer.Argument(help="A domain of ours; the first if left out.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of the screen.")
    ] = None,
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Write our signed document, for a web server or for a partner without network."""
    from gatepost.admin import federation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = federation.export(config, domain, utc_now())
    if output is not None:
        output.write_text(found.text)
    if json:
        show.as_json(found)
    elif output is None:
        typer.echo(found.text, nl=False)
    else:
        show.say(f"{output} holds the document of {found.domain}.", "good")
        show.say(f"Its key is {found.as_data()['key']}: tell the partner by telephone.")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A partner's document.")],
    *,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Take another key; ask the partner before.")
    ] = False,
    config: option.Config = None,
    json: option.Json = False,
) -> None:
    """Take in a partner's document that came by file."""
    from gatepost.admin import federation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    _told(federation.import_(config, file, utc_now(), new_key=new_key), json=json)


@app.command()
def meet(domain: Domain, config: option.Config = None, *, json: option.Json = False) -> None:
    """Fetch a domain's document from its web server now."""
    from gatepost.admin import federation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    _told(federation.meet(config, domain, utc_now()), json=json)


@app.command()
def remove(domain: Domain, config: option.Config = None, *, json: option.Json = False) -> None:
    """Forget a gateway, and what it announced; a partner's CA of your own adding stays."""
    from gatepost.admin import federation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = federation.remove(config, domain, utc_now())
    if json:
        show.as_json(found)
    else:
        show.say(f"{found.peers[0].domain} is forgotten")


@app.command()
def new_key(config: option.Config = None, *, json: option.Json = False) -> None:
    """Sign our documents with a new key, and with the old one beside it for who knows only that."""
    from gatepost.admin import federation  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = federation.new_key(config, utc_now())
    if json:
        show.as_json(found)
    else:
        show.say(f"Our documents are signed by {found.thumbprint} now.", "good")


def _told(found: Peers, *, json: bool) -> None:
    if json:
        show.as_json(found)
        return
    for one in found.peers:
        said = one.announcement
        show.say(f"{one.domain} is known, by {one.evidence}.", "good")
        show.say(f"Key      {said.key}")
        for root in said.authorities:
            show.say(f"CA       {root.name}, for mail of {one.domain} only")
        show.say(f"Until    {said.expires:%Y-%m-%d}, number {said.sequence}")
