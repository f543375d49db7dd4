"""`gatepost cert request|pending|csr|forget`: certificates from outside; and keys of years."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gatepost.cli import option, show

if TYPE_CHECKING:
    from gatepost.store.request import Request

PasswordList = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="With --history: a password in each line, tried with each file."
    ),
]
Ours = Annotated[str, typer.Argument(help="An address of yours, or @domain.")]


def request(
    address: Ours,
    source: Annotated[
        str, typer.Option(metavar="NAME", help="Another [[certificate_source]] than its rule's.")
    ] = "",
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Ask an authority outside for an address's certificates.

    A new key is made for each; the running gateway goes on asking until they come.  What was
    refused is asked anew.  Exit code 1 when it was refused again.
    """
    from gatepost.admin import enrolment  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    found = enrolment.request(config, address, source, utc_now())
    if json:
        show.as_json(found)
    else:
        for entry in found.issued:
            one = entry.certificate
            show.say(f"issued: {one.fingerprint[:16]} until {one.not_after:%Y-%m-%d}", "good")
        _show(found.pending)
    raise typer.Exit(1 if any(one.ended for one in found.pending) else 0)


def pending(config: option.Config = None, *, json: option.Json = False) -> None:
    """List certificates that were asked for and have not come; exit code 1 when there is none."""
    from gatepost.admin import enrolment  # noqa: PLC0415

    found = enrolment.pending(config)
    if json:
        show.as_json(found)
    elif found.requests:
        _show(found.requests)
    else:
        show.note("no certificate is waited for")
    raise typer.Exit(0 if found.requests else 1)


def csr(address: Ours, config: option.Config = None, *, json: option.Json = False) -> None:
    """Print an address's open requests (PKCS #10 in PEM), for an authority that you ask yourself.

    What it issues goes to `gatepost cert import`, which finds the request by the key.
    """
    from gatepost.admin import enrolment  # noqa: PLC0415

    found = enrolment.csr(config, address)
    if json:
        show.as_json(found)
    else:
        typer.echo(found.text, nl=False)


def forget(address: Ours, config: option.Config = None, *, json: option.Json = False) -> None:
    """Give up what was asked for an address; the keys made for it are deleted."""
    from gatepost.admin import enrolment  # noqa: PLC0415

    found = enrolment.give_up(config, address)
    if json:
        show.as_json(found)
    else:
        show.say(f"gave up {len(found.requests)} for {address}")


def import_history(
    config: Path | None, place: Path, passwords: Path | None, now: datetime, *, json: bool
) -> NoReturn:
    """`cert import --history`."""
    from gatepost.admin.history import work  # noqa: PLC0415

    found = work.take_in(config, place, work.passwords_in(passwords), now)
    if json:
        show.as_json(found)
    else:
        for one in found.files:
            show.say(f"{one.file}: {one.sentence}", "" if one.good else "warn")
        count = len(found.current)
        show.note(f"{found.taken} keys taken in, {count} of them sign from now on")
    raise typer.Exit(1 if found.failed else 0)


def _show(requests: tuple[Request, ...]) -> None:
    if requests:
        show.table(
            ("ADDRESS", "FOR", "SOURCE", "WAITS FOR", "SINCE", "LAST ERROR"),
            [
                (
                    one.address,
                    one.purpose,
                    one.source,
                    "nothing: it was refused" if one.ended else one.waits_for or "its turn",
                    f"{one.created:%Y-%m-%d %H:%M}",
                    one.fault,
                )
                for one in requests
            ],
        )
