"""Who may certify a domain's mailboxes: CAA records with issuemail (RFC 8659, RFC 9495).

The closest name that has any CAA record decides, from the domain up; where none of its records
is for mail, anybody may issue.  For domains of our own only: to whoever relies on a certificate
these records say nothing (RFC 8659 section 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gatepost.lookup.resolver import Resolver

TAG: Final = "issuemail"
_CRITICAL: Final = 0x80
_LABELS: Final = 20  # of a domain that is looked at; each is a question
# Registered properties, which any authority is to understand (RFC 8659, 9495, 8657; CA/B Forum)
_KNOWN: Final = frozenset(
    {TAG, "issue", "issuewild", "issuevmc", "iodef", "contactemail", "contactphone"}
)


@dataclass(frozen=True, slots=True)
class Property:
    """One CAA record."""

    flags: int
    tag: str  # in lower case
    value: str


@dataclass(frozen=True, slots=True)
class Permission:
    """What a domain says about certificates for its mailboxes."""

    place: str = ""  # the name that says it; empty: none does
    issuers: tuple[str, ...] | None = None  # None: anybody
    unknown: tuple[str, ...] = ()  # critical properties that an authority may not understand

    def lets(self, names: tuple[str, ...]) -> bool:
        """Whether an authority that goes by any of these names may issue."""
        if self.issuers is None:
            return True
        return not set(self.issuers).isdisjoint(one.lower().rstrip(".") for one in names)


async def permission(resolver: Resolver, domain: str) -> Permission:
    """What holds for a domain; raises NameServiceFailed, with which an authority issues nothing."""
    labels = domain.rstrip(".").split(".")[-_LABELS:]
    for at in range(len(labels)):
        name = ".".join(labels[at:])
        found = await resolver.caa(name)
        if found:
            return _read(name, found)
    return Permission()


def _read(name: str, found: tuple[Property, ...]) -> Permission:
    mail = [one for one in found if one.tag == TAG]
    strange = sorted({one.tag for one in found if one.flags & _CRITICAL} - _KNOWN)
    return Permission(
        name,
        tuple(filter(None, map(_issuer, mail))) if mail else None,
        tuple(strange),
    )


def _issuer(one: Property) -> str:
    """RFC 8659 section 4.2: a domain name before the parameters; nothing lets nobody."""
    return one.value.partition(";")[0].strip(" \t").lower().rstrip(".")
