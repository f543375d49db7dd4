"""What is fuzzed: one module each with `target(octets) -> None`, seeds to begin with, and words.

A target lets out only what is a finding.  atheris drives it (`python -m tests.fuzz NAME`),
and pytest, which needs no atheris, replays the committed corpus.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

SHARED = ("certificate", "vault", "line", "lookup", "enrol", "record")  # by several small readers
NAMES = ("ber", "mime", "header", "smime", "tnef", *SHARED)


class Target(Protocol):
    """A module in this package."""

    WORDS: Iterable[bytes]

    def target(self, octets: bytes) -> None:
        """One input."""

    def seeds(self) -> Iterable[bytes]:
        """Inputs to start from, made by our own writers."""
