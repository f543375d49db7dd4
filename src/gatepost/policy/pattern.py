"""Whom a rule speaks of: an address, a domain, the hosts below a domain, or everybody.

`*.example.com` means every subdomain at any depth but not `example.com` itself.
Addresses compare as `Mailbox.key`, domains as `domain_key`: spelling never decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox, domain_key

Kind = Literal["address", "domain", "subdomains", "everybody"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, held in the form in which mailboxes are compared."""

    kind: Kind
    key: str  # "a@b", "b", "*.b" or "*"

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern; raises Malformed saying what would be one."""
        if text == "*":
            return EVERYBODY
        if text.startswith("*."):
            return cls("subdomains", f"*.{_domain(text[2:], text)}")
        if "@" in text:
            return cls("address", Mailbox.parse(text).key)
        return cls("domain", _domain(text, text))

    def matches(self, mailbox: Mailbox | None) -> bool:
        """Whether the pattern speaks of this mailbox; only `*` speaks of an unknown one."""
        return self.key in keys(mailbox)

    def __str__(self) -> str:
        return self.key


EVERYBODY = Pattern("everybody", "*")


@lru_cache(maxsize=8192)
def keys(mailbox: Mailbox | None) -> tuple[str, ...]:
    """Every pattern key that speaks of this mailbox, the most specific first."""
    if mailbox is None:
        return ("*",)
    labels = mailbox.domain_key.split(".")
    above = tuple("*." + ".".join(labels[start:]) for start in range(1, len(labels)))
    return (mailbox.key, mailbox.domain_key, *above, "*")


def _domain(text: str, pattern: str) -> str:
    try:
        key = domain_key(Mailbox.parse(f"a@{text}").domain)
    except Malformed as error:
        raise Malformed(
            f"{pattern[:80]!r} is neither an address, a domain, *.domain nor *"
        ) from error
    if text.startswith("["):
        raise Malformed(f"{pattern[:80]!r} is an address literal, not a domain")
    return key
