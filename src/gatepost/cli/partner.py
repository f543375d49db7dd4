"""`gatepost partner`: companies whose CA is trusted for their own domain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import option, show
from gatepost.cli.group import group

if TYPE_CHECKING:
    from gatepost.admin.partner import Partners

app = group(help="Partners: whose CA counts for their own domain.")

Domain = Annotated[str, typer.Argument(help="The partner's mail domain.")]


@app.command()
def add(
    domain: Domain,
    ca: Annotated[
        list[Path],
        typer.Option(metavar="FILE", help="The partner's CA, PEM or DER; may be repeated."),
    ],
    note: Annotated[str, typer.Option(help="A remark for whoever reads the list.")] = "",
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Trust a partner's CA for mail of its domain, and for nothing else.

    Compare the fingerprint it prints with the partner, by telephone.
    """
    from gatepost.admin import partner  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = partner.add(config, domain, ca, note, utc_now())
    if json:
        show.as_json(found)
        return
    for one in found.partners:
        show.say(f"{one.domain} is a partner: its CA counts for its own mail.", "good")
        for root in one.roots:
            show.say(f"CA       {root.name}, until {root.not_after:%Y-%m-%d}")
            show.say(f"SHA-256  {show.fingerprint(root.fingerprint)}")
    show.say("Compare this with the partner, by telephone; gatepost partner remove takes it back.")


@app.command("list")
def list_(config: option.Config = None, *, json: option.Json = False) -> None:
    """List partners; exit code 1 when there is none."""
    from gatepost.admin import partner  # noqa: PLC0415

    found = partner.every(config)
    _show(found, json=json)
    raise typer.Exit(0 if found.partners else 1)


@app.command()
def remove(domain: Domain, config: option.Config = None, *, json: option.Json = False) -> None:
    """Forget a partner and stop trusting its CA."""
    from gatepost.admin import partner  # noqa: PLC0415

    found = partner.remove(config, domain)
    if json:
        show.as_json(found)
    else:
        show.say(f"{found.partners[0].domain} is no partner any more")


def _show(found: Partners, *, json: bool) -> None:
    if json:
        show.as_json(found)
        return
    if not found.partners:
        show.note("no partner")
        return
    rows = [
        (one.domain, ca.name, ca.fingerprint, f"{ca.not_after:%Y-%m-%d}", one.note)
        for one in found.partners
        for ca in (*one.roots, *one.intermediates)
    ]
    show.table(("DOMAIN", "CA", "SHA-256", "UNTIL", "NOTE"), rows)
