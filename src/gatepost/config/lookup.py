"""Where certificates of correspondents are looked for when the directory has none."""

from __future__ import annotations

from datetime import timedelta

from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT
from gatepost.config.quantity import Duration


@dataclass(frozen=True, slots=True, config=STRICT)
class Lookup:
    """Where certificates of correspondents are looked for when the directory has none."""

    smimea: bool = False
    """In the DNS, where DNSSEC proves them (RFC 8162); [resolver] says who is asked."""
    patience: Duration = timedelta(seconds=5)
    """How long mail waits for an answer; then it is 451 where encryption is mandatory."""
