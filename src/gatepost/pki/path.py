"""Whether one certification path holds (RFC 5280 section 6.1), signatures and dates aside.

The anchor's own constraints count too (RFC 5937): whoever trusts a root with constraints
means it with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gatepost.certificate import Certificate
from gatepost.pki import policy
from gatepost.pki.constraint import Budget, Constraints
from gatepost.pki.policy import PolicyRules
from gatepost.pki.usable import purpose_objection

Purpose = Literal["email", "any"]


def objection(
    chain: Sequence[Certificate], purpose: Purpose, rules: PolicyRules, budget: Budget
) -> str:
    """The first thing wrong with a chain (leaf first, anchor last); empty when it holds."""
    downward = chain[::-1]
    return (
        _unknown(chain)
        or _roles(chain, purpose)
        or _lengths(downward)
        or _names(downward, budget)
        or policy.objection(downward[1:], rules)
    )


def _unknown(chain: Sequence[Certificate]) -> str:
    """RFC 5280 section 6.1.4 (o), 6.1.5 (f)."""
    for one in chain:
        if found := one.traits.unknown_critical:
            return f"{one.name!r} has a critical extension that is not understood: {found[0]}"
    return ""


def _roles(chain: Sequence[Certificate], purpose: Purpose) -> str:
    """Section 6.1.4 (k), (n); an issuer's extended key usage limits what stands below it."""
    if purpose == "email" and any(map(purpose_objection, chain)):
        return "a certificate on the path is not for e-mail"
    for issuer in chain[1:]:
        if wrong := role_objection(issuer):
            return f"{issuer.name!r} does not count: {wrong}"
    return ""


def role_objection(issuer: Certificate) -> str:
    """Why it may not have issued certificates (RFC 5280 section 6.1.4 (k), (n))."""
    if not issuer.is_authority:
        return "it is not a certification authority"
    if issuer.key_usage is not None and "key_cert_sign" not in issuer.key_usage:
        return "it may not sign certificates"
    return ""


def _lengths(downward: Sequence[Certificate]) -> str:
    """Section 6.1.4 (l), (m); self-issued authorities and the leaf do not count."""
    left = len(downward)
    for position, issuer in enumerate(downward[:-1]):
        if position and not issuer.self_issued:
            left -= 1
            if left < 0:
                return "an issuer allows no further authority below it (path length)"
        limit = issuer.traits.path_length
        if limit is not None:
            left = min(left, limit)
    return ""


def _names(downward: Sequence[Certificate], budget: Budget) -> str:
    """Section 6.1.3 (b), (c); the names of self-issued intermediates are not asked."""
    if not any(one.traits.permitted or one.traits.excluded for one in downward):
        return ""
    said = Constraints(budget)
    said.add(downward[0].traits)
    for one in downward[1:-1]:
        if not one.self_issued and (wrong := said.objection(one)):
            return wrong
        said.add(one.traits)
    return said.objection(downward[-1])
