"""The stages of mail that arrives, in order."""

from __future__ import annotations

from gatepost.flow import addressee, cleanse, defuse, harvest, loop, mark, peel, stamp, vouch
from gatepost.flow.stage import Stage

STAGES: tuple[Stage, ...] = (loop, cleanse, peel, harvest, addressee, defuse, mark, vouch, stamp)
