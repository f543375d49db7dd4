"""The stages of mail that arrives, in order."""

from __future__ import annotations

from gatepost.flow import (
    addressee,
    cleanse,
    defuse,
    harvest,
    loop,
    mark,
    peel,
    respond,
    stamp,
    vouch,
)
from gatepost.flow.stage import Stage

STAGES: tuple[Stage, ...] = (
    loop,
    cleanse,
    peel,
    harvest,
    respond,
    addressee,
    defuse,
    mark,
    vouch,
    stamp,
)
