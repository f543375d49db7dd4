"""What the directory gives back: frozen rows, and the form of the addresses in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from gatepost.certificate import Certificate
from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox, domain_key

Source = Literal["issued", "pinned", "imported", "harvested"]
KeyPurpose = Literal["sign", "encrypt", "both", "authority"]
Address = Mailbox | str  # a str is `@domain`, or a mailbox still to be parsed

EVERYWHERE = "*"  # the scope of an anchor that counts for every domain


@dataclass(frozen=True, slots=True)
class Use:
    """An address a certificate is known for, and how we know."""

    address: str
    source: Source
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """A certificate as the directory holds it."""

    certificate: Certificate
    uses: tuple[Use, ...]
    key_purpose: KeyPurpose | None  # None: we do not hold its private key
    added_at: datetime


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A private key at rest."""

    certificate: Certificate
    key_id: str
    purpose: KeyPurpose
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Partner:
    """A company whose own CA counts for its own domain."""

    domain: str
    note: str
    added_at: datetime
    roots: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """An administrator's word on one certificate."""

    fingerprint: str
    allowed: bool
    reason: str
    author: str
    at: datetime | None = None

    def as_data(self) -> dict[str, object]:
        """Values JSON can carry."""
        return {
            "fingerprint": self.fingerprint,
            "word": "allowed" if self.allowed else "denied",
            "reason": self.reason,
            "author": self.author,
            "at": self.at.isoformat() if self.at else None,
        }


@dataclass(frozen=True, slots=True)
class Revision:
    """One state of the policy, with who made it and why."""

    rev: int
    at: datetime
    author: str
    note: str
    toml: str


def address_key(address: Address) -> str:
    """The spelling under which an address is filed; raises Malformed for what is none."""
    if isinstance(address, Mailbox):
        return address.key
    if address.startswith("@"):
        domain = Mailbox.parse(f"postmaster{address}").domain
        return f"@{domain_key(domain)}"
    if "@" not in address:
        raise Malformed(f"{address!r} is neither a mailbox nor @domain")
    return Mailbox.parse(address).key
