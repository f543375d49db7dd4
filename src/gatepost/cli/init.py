"""`gatepost init`: six sections, a plan, and nothing written before consent."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gatepost.cli import option, show
from gatepost.errors import ConfigError

if TYPE_CHECKING:
    from gatepost.admin.setup import Already, Plan, Request, Result

_SYSTEM = Path("/etc/gatepost"), Path("/var/lib/gatepost")


def init(  # noqa: PLR0917  one option per decision
    domain: Annotated[str, typer.Argument(help="Your mail domain, example.com.")],
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration file to write.", show_default=False),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Folder for queue and database.", show_default=False)
    ] = None,
    hostname: Annotated[str, typer.Option(help="The gateway's own name.")] = "",
    company: Annotated[str, typer.Option(help="Name in the company CA.")] = "",
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to take mail.")
    ] = "127.0.0.1:10025",
    mail_server: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Your mail server.")
    ] = "127.0.0.1:10026",
    relay: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="The way to the world; 'mx': each domain's own servers."
        ),
    ] = "127.0.0.1:10026",
    key: Annotated[
        Literal["p256", "rsa3072"], typer.Option(help="Key type of the company CA.")
    ] = "p256",
    federation: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Where your web server fetches our announcement; 'off': get to know nobody.",
        ),
    ] = "127.0.0.1:10080",
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, write.")] = False,
    json: option.Json = False,
) -> None:
    """Set up a gateway: keys, company CA, policy, configuration.

    Shows what it would write and asks first.  Never overwrites anything.
    """
    from gatepost.admin import setup  # noqa: PLC0415

    if not yes and (json or not sys.stdin.isatty()):
        raise ConfigError(
            "init needs your consent and there is no terminal to ask at",
            hint=f"gatepost init {domain} --yes takes the defaults and what options say",
        )
    places = _places(config, state)
    request = setup.Request(
        domain, *places, hostname, company, listen, mail_server, relay, key, federation
    )
    try:
        plan = setup.plan(request)  # complaints come before questions
        if not json:
            request = _sections(request, plan, ask=not yes)
            plan = setup.plan(request)
            _show_plan(plan)
    except setup.Already as already:
        _existing(already, json=json)
        raise typer.Exit(1) from already
    option.consent("Write this?", yes=yes)
    result = _carry_out(plan)
    if json:
        show.as_json(result)
    else:
        _next_steps(result)


def _places(config: Path | None, state: Path | None) -> tuple[Path, Path]:
    """The system's folders for root; this folder, or the one of --config, for everybody else."""
    if config is None and os.geteuid() == 0:
        return _SYSTEM[0] / "gatepost.toml", state or _SYSTEM[1]
    config = config or Path.cwd() / "gatepost.toml"
    return config, state or config.absolute().parent / "gatepost-state"


def _sections(request: Request, plan: Plan, *, ask: bool) -> Request:
    """Show each value in its section; ask for it where there is somebody to answer."""
    settings = plan.settings
    sections: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
        (
            "Who you are",
            (
                ("hostname", "Name of this gateway", settings.gateway.hostname),
                ("company", "Company", request.company or settings.gateway.domains[0]),
            ),
        ),
        ("Where mail comes in", (("listen", "Listen at", request.listen),)),
        (
            "Where mail goes",
            (
                ("mail_server", "Your mail server", request.mail_server),
                ("relay", "Towards the world", request.relay),
            ),
        ),
        (
            "Other gateways",
            (("federation", "Announce ourselves at (or: off)", request.federation),),
        ),
        ("Company CA", (("key", "Key type (p256, rsa3072)", request.key),)),
        (
            "Places",
            (
                ("config", "Configuration", str(request.config)),
                ("state", "Queue and database", str(request.state)),
            ),
        ),
    )
    changed: dict[str, Any] = {}
    for number, (title, rows) in enumerate(sections, start=1):
        show.say(f"\n({number}/{len(sections)}) {title}", "bold")
        for name, question, value in rows:
            if ask:
                changed[name] = _answer(name, question, value)
            else:
                show.say(f"  {question}: {value}")
    return replace(request, **changed)


def _answer(name: str, question: str, value: str) -> str | Path:
    from gatepost.admin import setup  # noqa: PLC0415

    while True:
        answer = str(typer.prompt(f"  {question}", default=value)).strip()
        if not (wrong := setup.complaint(name, answer)):
            return Path(answer) if name in {"config", "state"} else answer
        show.say(f"  {answer}: {wrong}", "warn")


def _show_plan(plan: Plan) -> None:
    show.say("\nPlan", "bold")
    show.table(
        ("", "PATH", "WHAT"),
        [(one.state, one.path, one.what) for one in plan.items],
    )
    show.say()


def _existing(already: Already, *, json: bool) -> None:
    """Say what is there; that is no error, but nothing was done either."""
    if json:
        show.as_json(already)
        return
    show.say(str(already), "warn")
    for path in already.existing:
        show.say(f"  exists   {path}")
    for path in already.missing:
        show.say(f"  missing  {path}", "warn")
    show.say(f"  → {already.hint}")


def _carry_out(plan: Plan) -> Result:
    from gatepost.admin import setup  # noqa: PLC0415
    from gatepost.admin.clock import utc_now  # noqa: PLC0415

    return setup.carry_out(plan, utc_now())


def _next_steps(result: Result) -> None:
    config = result.plan.request.config
    listen = result.plan.settings.listener[0].bind
    show.say(f"{result.plan.settings.gateway.domains[0]} is set up.", "good")
    show.say()
    show.say(f"Company CA   {result.root.name}, until {result.root.not_after:%Y-%m-%d}")
    show.say(f"SHA-256      {show.fingerprint(result.root.fingerprint)}")
    show.say("             Read this to partners when they import your CA.", "dim")
    show.say("\nNext", "bold")
    show.say(f"  1. Keep a copy of {result.plan.path('vault key')} in a safe place.")
    show.say(f"  2. gatepost check --config {config}")
    show.say(f"  3. gatepost serve --config {config}")
    show.say(f"  4. Let your mail server send outbound mail to {listen}.")
    public = result.plan.settings.public.bind
    if public is not None:
        own = result.plan.settings.gateway.domains[0]
        show.say(f"  5. Let the web server of {own} pass /.well-known/gatepost/ on to {public}.")
