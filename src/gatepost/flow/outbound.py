"""The stages of mail that leaves, in order; a module with `asks` and `does` is a stage."""

from __future__ import annotations

from gatepost.flow import classify, divide, loop, protect, stamp, vouch
from gatepost.flow.stage import Stage

STAGES: tuple[Stage, ...] = (loop, classify, divide, protect, vouch, stamp)
