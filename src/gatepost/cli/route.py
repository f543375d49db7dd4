"""`gatepost route`: where mail for a domain would go, over which TLS, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import option, show

if TYPE_CHECKING:
    from gatepost.admin.way import Server


def route(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A domain, or an address there.")],
    config: option.Config = None,
    *,
    connect: Annotated[
        bool, typer.Option("--connect", help="Greet each server, with TLS; send nothing.")
    ] = False,
    secure: Annotated[
        bool, typer.Option("--secure", help="For mail that needs a verified connection.")
    ] = False,
    json: option.Json = False,
) -> None:
    """Tell where mail for a domain would go, over which TLS.

    Exit code 1 when no server could get it.
    """
    from gatepost.admin import way  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    request = way.Request.parse(domain, connect=connect, secure=secure)
    found = way.look(config, request, utc_now())
    if json:
        show.as_json(found)
        raise typer.Exit(0 if found.good else 1)
    show.say(f"{found.domain}: {found.found}", "bold")
    if found.policy:
        show.say(found.policy)
    if found.refused:
        show.say(str(found.refused), "bad")
    for one in found.servers:
        _server(one)
    raise typer.Exit(0 if found.good else 1)


def _server(server: Server) -> None:
    show.say(server.name, "good" if server.good else "bad")
    if server.refused is not None:
        show.say(f"   {server.refused}")
    if (hop := server.hop) is not None:
        show.pairs(
            [
                ("   addresses", ", ".join(hop.addresses)),
                ("   port", hop.port),
                ("   tls", f"{hop.tls}  {hop.why}".strip()),
                ("   names", ", ".join(hop.names)),
                ("   tlsa", ", ".join(map(str, hop.tlsa))),
            ]
        )
    if (contact := server.contact) is not None:
        show.pairs(
            [
                ("   answers", contact.reply),
                ("   over", contact.tls or ("clear text" if contact.remote else "")),
                ("   proves", contact.security),
            ]
        )
