"""`gatepost partner`: companies whose CA is trusted for their own domain, and their people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gatepost.cli import option, show
from gatepost.cli.group import group

if TYPE_CHECKING:
    from datetime import datetime

    from gatepost.admin.partner import Known, Partners
    from gatepost.certificate import Certificate

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


@app.command("show")
def show_(
    whom: Annotated[
        str, typer.Argument(metavar="DOMAIN|ADDRESS", help="A company, or one person.")
    ],
    config: option.Config = None,
    *,
    json: option.Json = False,
) -> None:
    """Show what is known of a domain's correspondents, or of one address.

    Learned from signed mail that was valid and trusted: what its author's program announces
    and uses, by which algorithms and form are chosen for mail to him.
    """
    from gatepost.admin import partner  # noqa: PLC0415

    found = partner.show(config, whom)
    if json:
        show.as_json(found)
        return
    if found.partner is not None:
        for root in found.partner.roots:
            show.say(f"{found.partner.domain} is a partner; its CA is {root.name}", "good")
    for one in found.people:
        _show_person(one)


@app.command()
def remove(domain: Domain, config: option.Config = None, *, json: option.Json = False) -> None:
    """Forget a partner and stop trusting its CA."""
    from gatepost.admin import partner  # noqa: PLC0415

    found = partner.remove(config, domain)
    if json:
        show.as_json(found)
    else:
        show.say(f"{found.partners[0].domain} is no partner any more")


def _show_person(one: Known) -> None:
    software = one.software
    dated = f" (signed {show.moment(software.announced_at)})" if software.announced_at else ""
    show.say()
    show.say(one.address, "bold")
    show.pairs(
        [
            ("announced", " ".join(sorted(software.announced)) + dated),
            ("used", ", ".join(_use(name, when) for name, when in sorted(software.used.items()))),
            ("last seen", show.moment(software.seen_at)),
        ]
    )
    for certificate in one.certificates:
        key = _key_name(certificate)
        show.say(f"certificate  {certificate.name}, {key}, until {certificate.not_after:%Y-%m-%d}")


def _use(name: str, when: datetime | None) -> str:
    return f"{name} ({when:%Y-%m-%d})" if when else name


def _key_name(certificate: Certificate) -> str:
    from gatepost.admin.partner import key_name  # noqa: PLC0415

    return key_name(certificate)


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
