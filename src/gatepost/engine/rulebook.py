"""The policy in force, parsed once per revision."""

from __future__ import annotations

from gatepost.policy.parse import parse
from gatepost.policy.rules import Policy
from gatepost.store.directory import Directory


class Rulebook:
    """Reads the current revision when the directory changed; the built-in policy before any."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._generation = -1
        self._revision = 0
        self._policy = Policy()

    def __call__(self) -> Policy:
        """The policy that counts now."""
        generation = self._directory.generation()
        if generation != self._generation:
            self._read()
            # Only now: after a failed reading nobody may decide by an older policy, or by none.
            self._generation = generation
        return self._policy

    @property
    def generation(self) -> int:
        """Which state of the directory the last answer was of."""
        return self._generation

    def _read(self) -> None:
        current = self._directory.policy.current()
        if current is not None and current.rev != self._revision:
            self._policy = parse(current.toml, f"policy revision {current.rev}")
            self._revision = current.rev
