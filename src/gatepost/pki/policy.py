"""Certificate policies along a path (RFC 5280 section 6.1 as RFC 9618 amends it).

Of the policy graph only its lowest row is kept, each policy with those of the caller's
policies it descends from: so a hostile chain of mappings costs what it is long, not more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from gatepost.certificate import Certificate
from gatepost.certificate.trait import Traits
from gatepost.pki.der import dotted, items

ANY = "2.5.29.32.0"
_UNREADABLE = ((ANY, ANY),)


class PolicyRules(NamedTuple):
    """What the caller asks for (RFC 5280 section 6.1.1 (c), (e), (f), (g))."""

    accepted: frozenset[str] = frozenset({ANY})
    explicit: bool = False
    inhibit_mapping: bool = False
    inhibit_any: bool = False


@dataclass(slots=True)
class _Row:
    """The lowest row of the graph: policies, what they expect below, and whence they come."""

    expected: dict[str, frozenset[str]]
    origins: dict[str, frozenset[str]]


@dataclass(slots=True)
class _State:
    rules: PolicyRules
    row: _Row
    explicit: int
    mapping: int
    inhibit_any: int


def objection(below: Sequence[Certificate], rules: PolicyRules) -> str:
    """What speaks against the path under these rules; the issuer of the first is the anchor."""
    if not rules.explicit and not any(_says_something(one.traits) for one in below):
        return ""  # explicit_policy starts above the length of the path and never reaches zero
    count = len(below)
    state = _State(
        rules=rules,
        row=_Row({ANY: frozenset({ANY})}, {ANY: frozenset({ANY})}),
        explicit=0 if rules.explicit else count + 1,
        mapping=0 if rules.inhibit_mapping else count + 1,
        inhibit_any=0 if rules.inhibit_any else count + 1,
    )
    for position, one in enumerate(below):
        last = position == count - 1
        if rules.explicit and one.traits.repeats_policy:
            return "a certificate names one policy twice"
        _descend(state, one, last=last)
        if not state.row.expected and state.explicit <= 0:
            return "no certificate policy holds for the whole path"
        if not last:
            pairs = _mappings(one.traits.mappings)
            if any(ANY in pair for pair in pairs):
                return "an issuer maps the policy that stands for any"
            _map(state, pairs)
            _count_down(state, one)
    return _conclude(state, below[-1].traits) if below else ""


def _says_something(one: Traits) -> bool:
    return one.require_explicit is not None or one.mappings is not None


@lru_cache(maxsize=64)
def _mappings(said: bytes | None) -> tuple[tuple[str, str], ...]:
    """RFC 5280 section 4.2.1.5; what cannot be read maps anyPolicy, which no path survives."""
    if said is None:
        return ()
    try:
        pairs = [tuple(map(dotted, items(one))) for one in items(said)]
        return tuple((theirs, ours) for theirs, ours in pairs) or _UNREADABLE
    except (IndexError, ValueError):
        return _UNREADABLE


def _descend(state: _State, one: Certificate, *, last: bool) -> None:
    """RFC 5280 section 6.1.3 (d), (e)."""
    old, new = state.row, _Row({}, {})
    policies = one.traits.policies
    if policies is not None and old.expected:
        parents: dict[str, list[str]] = {}
        for parent, expected in old.expected.items():
            for policy in expected:
                parents.setdefault(policy, []).append(parent)
        for policy in policies - {ANY}:
            _add(state, new, policy, parents.get(policy) or ([ANY] if ANY in old.expected else []))
        if ANY in policies and (state.inhibit_any > 0 or (not last and one.self_issued)):
            for policy in parents.keys() - new.expected.keys():
                _add(state, new, policy, parents[policy])
    state.row = new


def _add(state: _State, new: _Row, policy: str, parents: Sequence[str]) -> None:
    if not parents:
        return
    new.expected[policy] = frozenset({policy})
    found: set[str] = set()
    for parent in parents:
        found |= _origin(state, policy) if parent == ANY else state.row.origins[parent]
    new.origins[policy] = frozenset(found)


def _origin(state: _State, policy: str) -> frozenset[str]:
    """A policy right under anyPolicy is in the caller's terms; others do not interest him."""
    return frozenset({policy} & state.rules.accepted)


def _map(state: _State, pairs: Sequence[tuple[str, str]]) -> None:
    """RFC 5280 section 6.1.4 (b)."""
    targets: dict[str, set[str]] = {}
    for theirs, ours in pairs:
        targets.setdefault(theirs, set()).add(ours)
    row = state.row
    for policy, expected in targets.items():
        if state.mapping <= 0:
            row.expected.pop(policy, None)
        elif policy in row.expected:
            row.expected[policy] = frozenset(expected)
        elif ANY in row.expected:
            row.expected[policy] = frozenset(expected)
            row.origins[policy] = _origin(state, policy)


def _count_down(state: _State, one: Certificate) -> None:
    """RFC 5280 section 6.1.4 (h), (i), (j)."""
    if not one.self_issued:
        state.explicit -= 1
        state.mapping -= 1
        state.inhibit_any -= 1
    said = one.traits
    if said.require_explicit is not None:
        state.explicit = min(state.explicit, said.require_explicit)
    if said.inhibit_mapping is not None:
        state.mapping = min(state.mapping, said.inhibit_mapping)
    if said.inhibit_any is not None:
        state.inhibit_any = min(state.inhibit_any, said.inhibit_any)


def _conclude(state: _State, leaf: Traits) -> str:
    """RFC 5280 section 6.1.5 (a), (b), (g)."""
    state.explicit -= 1
    if leaf.require_explicit == 0:
        state.explicit = 0
    if state.explicit > 0:
        return ""
    row = state.row
    if ANY in state.rules.accepted:
        return "" if row.expected else "no certificate policy holds for the whole path"
    if ANY in row.expected or any(row.origins[one] for one in row.expected):
        return ""
    return "none of the certificate policies asked for holds for the whole path"
