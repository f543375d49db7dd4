"""Checks that a connection can be as secure as policy takes for granted."""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.admin.check.directory import readable
from gatepost.admin.check.registry import Answer, Installation, check, good, warn
from gatepost.engine.routing import Routes
from gatepost.errors import Unavailable
from gatepost.mail.address import Mailbox
from gatepost.mail.delivery import NextHop
from gatepost.mail.message import Direction
from gatepost.policy import parse
from gatepost.policy.pattern import EVERYBODY, Pattern
from gatepost.policy.rules import Policy
from gatepost.policy.treatment import Unencryptable

_SHOWN = 10


@check("POL-02", "mail that may go by TLS instead of encryption has a way")
def has_a_way(place: Installation) -> Iterator[Answer]:
    """A rule with unencryptable = "verified-tls" needs a server that proves itself.

    Where the next hop's tls setting cannot prove anything such mail waits until it expires.
    """
    with readable(place) as directory:
        current = directory.policy.current()
    policy = parse.parse(current.toml, "policy") if current else Policy()
    rules = list(_trusting(policy))
    routes, domains = Routes(place.right), [one.domain for one in place.right.route]
    faults = 0
    for name, pattern in rules[:_SHOWN]:
        for hop in _hops(routes, domains, pattern):
            if not _can_prove(hop):
                faults += 1
                yield warn(
                    f"{name}: the way through {hop} (tls = {hop.tls}) proves no server;"
                    " mail without certificate waits there until it expires",
                    'set tls = "verified" or "dane" for that hop, or deliver by mx',
                )
    if not faults:
        yield good(f"{len(rules)} rules are content with verified TLS" if rules else "no such rule")


def _trusting(policy: Policy) -> Iterator[tuple[str, Pattern]]:
    """What takes a verified connection for encryption, and for whom."""
    if policy.defaults.unencryptable is Unencryptable.TLS:
        yield "the defaults", EVERYBODY
    for rule in policy.rules:
        if rule.settings.unencryptable is Unencryptable.TLS:
            yield f"rule {rule.name!r}", rule.to


def _hops(routes: Routes, domains: list[str], pattern: Pattern) -> tuple[NextHop, ...]:
    """Every hop that mail for these people may take."""
    routed = [_somebody(domain) for domain in domains]
    people = [one for one in routed if pattern.matches(one)]
    match pattern.kind:
        case "address":
            people = [Mailbox.parse(pattern.key)]
        case "domain":
            people = [_somebody(pattern.key)]
        case "subdomains":
            people.append(_somebody(f"elsewhere{pattern.key[1:]}"))
        case "everybody":
            people.append(_somebody("elsewhere.invalid"))
    names = dict.fromkeys(routes.name(Direction.OUTBOUND, one) for one in people)
    try:
        return tuple(routes.hop(name) for name in names)
    except Unavailable:  # no outbound mail at all: CFG-04
        return ()


def _somebody(domain: str) -> Mailbox:
    return Mailbox.parse(f"postmaster@{domain}")


def _can_prove(hop: NextHop) -> bool:
    """Whether a server there may ever prove itself; MX hosts do by DANE, MTA-STS or a name."""
    return hop.tls != "none" if hop.mx else hop.tls in {"verified", "dane"}
