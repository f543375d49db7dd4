"""Checks that ask the DNS: whether it answers, proves what it says, and leads our mail to us."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from gatepost.admin.check.registry import (
    Answer,
    Installation,
    Unready,
    bad,
    check,
    good,
    skip,
    warn,
)
from gatepost.mail.address import domain_key
from gatepost.mail.reply import Reply
from gatepost.route.mx import NO_DOMAIN, NULL_MX

if TYPE_CHECKING:
    from gatepost.lookup.destination import Destinations

_PATIENCE = timedelta(seconds=1)
_TRUST = "run a validating resolver such as unbound on this machine, see dnssec in [resolver]"


@check("DNS-01", "resolver answers and proves what it says")
def answers(place: Installation) -> Iterator[Answer]:
    """Asks the configured DNS servers for the signed root zone.

    Mail to MX hosts waits while they do not answer. Without DNSSEC, or where their word on it
    is not believed, no DANE record counts.
    """
    if not place.right.asks_dns:
        yield skip("mail goes to configured servers only, without the DNS")
        return
    resolver = _finder(place).resolver
    servers = ", ".join(host for host, _ in resolver.servers) or "no server"
    if not resolver.servers:
        yield bad("no DNS server is configured", "name one in [resolver] servers")
        return
    try:
        proves = asyncio.run(resolver.is_validating())
    except _failed() as error:
        yield bad(f"{servers} does not answer: {error}", "see [resolver] servers")
        return
    if place.right.resolver.dnssec == "off":
        yield warn(f"{servers} answers; dnssec is off, so DANE is not used")
    elif not resolver.believes:
        yield warn(f"{servers} answers, but is not on this machine: DANE is not used", _TRUST)
    elif not proves:
        yield warn(f"{servers} answers, but proves nothing by DNSSEC: DANE is not used", _TRUST)
    else:
        yield good(f"{servers} answers and validates DNSSEC")


@check("DNS-02", "the world finds our domains")
def are_found(place: Installation) -> Iterator[Answer]:
    """Looks up the MX records of each of our own domains, as other people's servers do.

    Whether they name this gateway or a server before it is for you to judge.
    """
    if not any(one.inbound for one in place.right.listener):
        yield skip("no listener takes inbound mail")
        return
    for domain in place.right.gateway.domains:
        try:
            # Our own name is no loop here: it is what we hope to find.
            finder = replace(_finder(place), ours="", policies=None)
            found = asyncio.run(finder.exchanges(domain_key(domain)))
        except _failed() as error:
            raise Unready(f"the DNS does not answer: {error}") from error
        if isinstance(found, Reply):
            yield warn(f"{domain}: {_seen(found)}", f"publish an MX record for {domain}")
        elif found.implicit:
            yield warn(f"{domain} has no MX record, only its own address counts")
        else:
            yield good(f"{domain}: {', '.join(found.hosts)}")


def _seen(found: Reply) -> str:
    """What other people's servers would tell their authors."""
    return {
        NO_DOMAIN: "the DNS does not know it",
        NULL_MX: "its MX record says it takes no mail",
    }.get(found, found.text)


def _finder(place: Installation) -> Destinations:
    from gatepost.engine.courier import destinations  # noqa: PLC0415 - 0.2 s, where DNS is asked

    asked = replace(place.right.resolver, timeout=_PATIENCE)
    return destinations(replace(place.right, resolver=asked), lambda: place.now)


def _failed() -> type[Exception]:
    from gatepost.lookup.resolver import NameServiceFailed  # noqa: PLC0415 - as above

    return NameServiceFailed
