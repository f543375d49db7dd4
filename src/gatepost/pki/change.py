"""Whether the key mail is encrypted with has changed in a way somebody should look at.

A renewal by the same authority with a key no weaker is everyday; another issuer, a weaker key
or a second valid certificate from elsewhere is what an attacker with a trusted CA would bring.
What an administrator registered is not doubted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gatepost.certificate import Certificate
from gatepost.pki.strength import security

MAXIMUM_RIVALS = 16


@dataclass(frozen=True, slots=True)
class Known:
    """What a correspondent's mail was last encrypted with."""

    fingerprint: str
    issuer: str  # RFC 4514
    bits: int  # of security
    rivals: frozenset[str] = frozenset()  # other issuers' certificates that were valid beside it

    @classmethod
    def of(cls, certificate: Certificate, beside: Iterable[Certificate]) -> Known:
        """What is to be remembered of this choice."""
        issuer = certificate.spelled_issuer
        rivals = [one.fingerprint for one in beside if one.spelled_issuer != issuer]
        chosen = frozenset(sorted(rivals)[:MAXIMUM_RIVALS])
        return cls(certificate.fingerprint, issuer, security(certificate), chosen)


def changes(new: Known, old: Known | None) -> tuple[str, ...]:
    """What is suspicious about the new choice; nothing at first sight, for nothing is known."""
    if old is None or new == old:
        return ()
    found = []
    if new.fingerprint != old.fingerprint:
        if new.issuer != old.issuer:
            found.append(f"its issuer is now {new.issuer!r} and was {old.issuer!r}")
        if new.bits < old.bits:
            found.append(f"its key has {new.bits} bits of security and had {old.bits}")
    more = new.rivals - old.rivals - {old.fingerprint}
    if more and new.issuer == old.issuer:
        word = "certificate" if len(more) == 1 else "certificates"
        found.append(f"{len(more)} other {word} for it by another issuer can be used as well")
    return tuple(found)
