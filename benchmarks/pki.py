"""Choosing a certificate: `python -m benchmarks.pki` (processor time, best of several rounds)."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.unit.pki.forge import NOW, authority, forge

from gatepost.mail.address import Mailbox
from gatepost.pki import build, validate
from gatepost.pki.choose import Candidate, Choice, choose, watched
from gatepost.pki.signature import signed_by

A = Mailbox.parse("a@example.com")
ROUNDS = 7


def main() -> None:
    """From the cache, and cold in units of one signature verification; for two kinds of key."""
    for kind in ("rsa2048", "p256"):
        root = authority("Root", kind=kind)
        upper = authority("Upper", "Root", kind=kind, by=kind)
        lower = authority("Lower", "Upper", kind=kind, by=kind)
        leaf = forge("leaf", "Lower", kind=kind, by=kind)
        candidates = [Candidate(leaf, issuers=(upper, lower))]
        anchors = validate.Anchors(frozenset({root}))

        def ask(
            candidates: list[Candidate] = candidates, anchors: validate.Anchors = anchors
        ) -> Choice:
            chosen = choose(candidates, A, anchors, NOW)
            return watched(chosen, candidates, A, anchors, NOW, known=None)

        def cold(ask: Callable[[], Choice] = ask) -> object:
            validate._remembered.cache_clear()  # noqa: SLF001  what a cold look-up has not
            build._signed_before.cache_clear()  # noqa: SLF001
            return ask()

        assert ask().chosen == leaf
        one = _best(lambda leaf=leaf, lower=lower: signed_by(leaf, lower.public_key), 500)  # type: ignore[misc]  # bound now
        found, first = _best(ask, 2000), _best(cold, 200)
        print(
            f"{kind}: choose and validate from cache {found * 1e6:.1f} µs; "
            f"cold {first * 1e6:.0f} µs = {first / one:.1f} verifications of {one * 1e6:.0f} µs"
        )


def _best(work: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        best = min(best, (time.process_time() - began) / times)
    return best


if __name__ == "__main__":
    main()
