"""Choose the certificate to encrypt with: usable ones first, then the best (RFC 8550 section 4)."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.certificate import Certificate


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that was not taken, and why."""

    certificate: Certificate
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The certificate taken, if any, and every one that was not."""

    chosen: Certificate | None
    rejected: tuple[Rejection, ...] = ()
    capabilities: frozenset[str] = frozenset()  # algorithm names the correspondent is known to read
