"""Whether a certificate names the server we wanted to reach (RFC 9525 section 6.3)."""

from __future__ import annotations

from collections.abc import Iterable


def matching(wanted: Iterable[str], presented: Iterable[str]) -> str | None:
    """The first presented DNS name that is one of the wanted ones; None: it is somebody else.

    A wanted ".example.com" stands for every name below example.com.
    """
    given = tuple(presented)
    for reference in wanted:
        for one in given:
            if _matches(reference.lower().rstrip("."), one.lower().rstrip(".")):
                return one
    return None


def _matches(reference: str, presented: str) -> bool:
    if not reference or not presented.isascii():
        return False
    if reference.startswith("."):
        return _is_whole(presented) and presented.endswith(reference)
    first, _, rest = presented.partition(".")
    if first != "*":
        return presented == reference
    # Only as the whole leftmost label, for one label, and never directly below the root.
    return "." in rest and "*" not in rest and reference.partition(".")[2] == rest


def _is_whole(presented: str) -> bool:
    """Whether a wildcard, if any, is its whole first label (then it stands for hosts there)."""
    return "*" not in presented.removeprefix("*.")
