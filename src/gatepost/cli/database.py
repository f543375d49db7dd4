"""`gatepost database`: the database that several nodes share."""

from __future__ import annotations

from gatepost.cli import option, show
from gatepost.cli.group import group

app = group(help="The database that several nodes share.")


@app.callback()
def _database() -> None:
    pass


@app.command()
def fill(config: option.Config = None, *, json: option.Json = False) -> None:
    """Copy certificates, keys, partners and policy from this machine's file into [database].

    The database must be empty.  The file stays; the vault key is the same on every node.
    """
    from gatepost.admin import database  # noqa: PLC0415

    done = database.fill(config)
    if json:
        show.as_json(done)
        return
    certificates, revisions = done.counts["certificate"], done.counts["policy_revision"]
    show.say(
        f"{done.target} has it all: {certificates} certificates, {revisions} revisions.", "good"
    )
    show.say(f"{done.source} is used no more: keep it as a copy, or delete it.")
    show.say("Every node needs this configuration and the same vault key.")
