"""What is asked of web servers, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """What is fetched from where, and as what it may come."""

    host: str
    path: str
    kinds: tuple[str, ...]
    maximum: int  # octets


@dataclass(frozen=True, slots=True)
class Fetched:
    """A page as it came."""

    octets: bytes
    authentic: bool  # DNSSEC proved where its server is
