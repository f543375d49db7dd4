"""Looking for a certification path (RFC 4158), upward from the leaf, within fixed budgets.

Names and dates are free, so they go first; signatures are checked only on paths that reach
an anchor, each once; constraints and policies, which a stranger could bloat, only on signed
paths.  A bag of hostile certificates costs the budget, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import islice

from gatepost.certificate import Certificate
from gatepost.pki.path import role_objection
from gatepost.pki.signature import signed_by
from gatepost.pki.strength import key_weakness, signature_weakness
from gatepost.pki.usable import date_objection

MAXIMUM_DEPTH = 8  # authorities between leaf and anchor
MAXIMUM_STEPS = 512
MAXIMUM_SIGNATURES = 48
MAXIMUM_PATHS = 32  # that reach an anchor

Chain = tuple[Certificate, ...]
NOWHERE, ANCHOR, ANYWHERE = range(3)  # where a certificate may stand above others


@dataclass(slots=True)
class Search:
    """One search; `verdict` says last why a path that reached an anchor did not hold."""

    pool: Collection[Certificate]
    roots: frozenset[Certificate]
    moment: datetime
    objection: Callable[[Chain], str]
    verdict: str = ""
    spent: int = 0  # signatures
    steps: int = 0
    _above: dict[bytes, list[Certificate]] = field(default_factory=dict)  # by subject, no anchors
    _checked: dict[tuple[Certificate, Certificate], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in self.pool:
            if one not in self.roots and self._fits(one, ANYWHERE):
                self._above.setdefault(one.folded_subject, []).append(one)

    def chains(self, leaf: Certificate) -> Iterator[Chain]:
        """Every path that holds, the likeliest first."""
        for chain in islice(self._climb((leaf,)), MAXIMUM_PATHS):
            forged = self._signatures(chain)
            wrong = forged or self.objection(chain)
            if not wrong:
                yield chain
            elif not forged or not self.verdict:  # what is wrong with a signed path tells more
                self.verdict = wrong

    def _climb(self, chain: Chain) -> Iterator[Chain]:
        """Depth first; an edge whose signature has failed is not gone again."""
        for issuer in self._issuers(chain[-1]):
            self.steps += 1
            if self.steps > MAXIMUM_STEPS or self.spent >= MAXIMUM_SIGNATURES:
                self.verdict = "too many certificates stand between it and an anchor"
                return
            if _repeats(chain, issuer) or self._checked.get((chain[-1], issuer)) is False:
                continue
            if issuer in self.roots:
                yield (*chain, issuer)
            elif len(chain) <= MAXIMUM_DEPTH:
                yield from self._climb((*chain, issuer))

    def _issuers(self, child: Certificate) -> list[Certificate]:
        name = child.folded_issuer
        found = self._above.get(name, [])
        if anchors := filed(self.roots).get(name):
            found = [*(one for one in anchors if self._fits(one, ANCHOR)), *found]
        if len(found) > 1:
            found = sorted(found, key=lambda one: self._merit(one, child.traits.authority_key_id))
        return found

    def _fits(self, issuer: Certificate, place: int) -> bool:
        return _fitness(issuer) >= place and not date_objection(issuer, self.moment)

    def _merit(self, issuer: Certificate, key_id: bytes | None) -> tuple[bool, bool, float, str]:
        """The right key, the shortest way, the longest valid; the same on every node."""
        other = key_id is not None and issuer.key_id is not None and issuer.key_id != key_id
        return other, issuer not in self.roots, -issuer.not_after.timestamp(), issuer.fingerprint

    def _signatures(self, chain: Chain) -> str:
        """RFC 5280 section 6.1.3 (a)(1), from the anchor down: most forgeries end there."""
        for child, issuer in zip(chain[-2::-1], chain[:0:-1], strict=True):
            edge = (child, issuer)
            holds = self._checked.get(edge)
            if holds is None:
                self.spent += 1
                holds = self._checked[edge] = _signed(child, issuer)
            if not holds:
                return f"the signature on {child.name!r} was not made by {issuer.name!r}"
        return ""


@lru_cache(maxsize=4096)
def _fitness(issuer: Certificate) -> int:
    """What no time changes: where it may stand above others."""
    if role_objection(issuer) or key_weakness(issuer):
        return NOWHERE
    return ANCHOR if signature_weakness(issuer) else ANYWHERE


@lru_cache(maxsize=256)
def filed(known: frozenset[Certificate]) -> Mapping[bytes, tuple[Certificate, ...]]:
    """By subject; the set is the same for many questions, and its hash is remembered."""
    found: dict[bytes, tuple[Certificate, ...]] = {}
    for one in sorted(known, key=lambda one: one.fingerprint):
        found[one.folded_subject] = (*found.get(one.folded_subject, ()), one)
    return found


def _signed(child: Certificate, issuer: Certificate) -> bool:
    """Authorities are met again and again, so their signatures are checked once."""
    if not child.is_authority:
        return signed_by(child, issuer.public_key)
    return _signed_before(child, issuer)


@lru_cache(maxsize=2048)
def _signed_before(child: Certificate, issuer: Certificate) -> bool:
    return signed_by(child, issuer.public_key)


def _repeats(chain: Chain, issuer: Certificate) -> bool:
    """RFC 4158 section 2.4.2: the same name and key lead only in circles."""
    name, key = issuer.folded_subject, issuer.key_info
    return bool([old for old in chain if old.key_info == key and old.folded_subject == name])
