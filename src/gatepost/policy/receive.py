"""Find out how mail of a sender is to be received; the order is that of `policy.rules`.

The sender is whoever the header names as author, proven or not: that his mail should have
been signed is to be noticed exactly where it is not his.  Of several authors each counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from gatepost.mail.address import Mailbox
from gatepost.policy.pattern import Pattern, keys
from gatepost.policy.rules import (
    RECEPTION,
    ActiveContent,
    Expect,
    Fault,
    InboundPolicy,
    InboundRule,
    Reception,
)

NAMES = tuple(one.name for one in fields(Reception))
MAXIMUM_AUTHORS = 50


@dataclass(frozen=True, slots=True)
class Welcome:
    """What counts for one message, every setting decided."""

    expect: Expect
    unmet: Fault
    broken_signature: Fault
    undecryptable: Fault
    misdirected: Fault
    active_content: ActiveContent
    agreed: str  # where `expect` was written, for people


def receive(policy: InboundPolicy, authors: Sequence[Mailbox]) -> Welcome:
    """How mail that names these authors is to be received."""
    matching = _matching(policy.rules, authors) if policy.rules else []
    values = {
        name: next(
            value
            for layer in (*(rule.reception for rule in matching), policy.reception, RECEPTION)
            if (value := getattr(layer, name)) is not None
        )
        for name in NAMES
    }
    agreed = next((one for one in matching if one.reception.expect is not None), None)
    return Welcome(**values, agreed=f'rule "{agreed.name}"' if agreed else "[inbound]")


def _matching(rules: Iterable[InboundRule], authors: Sequence[Mailbox]) -> list[InboundRule]:
    """The rules that speak of an author, the most specific first, later ones before earlier."""
    spoken = {key for one in authors[:MAXIMUM_AUTHORS] for key in keys(one)} | {"*"}
    found = [(_rank(rule.from_), at, rule) for at, rule in enumerate(rules)]
    known = [(rank, at, rule) for rank, at, rule in found if rule.from_.key in spoken]
    return [rule for _, _, rule in sorted(known, key=lambda one: one[:2], reverse=True)]


def _rank(pattern: Pattern) -> tuple[int, int]:
    kinds = ("everybody", "subdomains", "domain", "address")
    return kinds.index(pattern.kind), pattern.key.count(".")
