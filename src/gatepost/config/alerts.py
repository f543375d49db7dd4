"""Who is told when certificates need somebody's hand."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT


@dataclass(frozen=True, slots=True, config=STRICT)
class Alerts:
    """What the postmaster hears of by mail: certificates that end, changed keys, refusals."""

    mail: bool = True
    """Grave things at once, the rest in one letter a day; the log has all of it in any case."""
