"""Checks of the modes for going live: nobody may forget them."""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.admin.check.registry import Answer, Installation, check, good, warn


@check("MOD-01", "decisions are carried out")
def is_enforced(place: Installation) -> Iterator[Answer]:
    """Monitor mode decides and records, and passes every mail on as it came.

    Nothing is signed, encrypted, decrypted or refused there.  With soft_bounce nothing is
    refused for good, so authors hear of their mistakes only when mail expires.
    """
    names = ", ".join(one.label for one in place.right.monitored)
    if names:
        yield warn(
            f"monitor mode at {names}: mail passes untouched",
            'set mode = "enforce" when gatepost trace shows what you want',
        )
    if place.right.gateway.soft_bounce:
        yield warn(
            "soft_bounce: what is refused for good waits until it expires",
            "take soft_bounce out of [gateway] when the queue stays short",
        )
    if not names and not place.right.gateway.soft_bounce:
        yield good("mail is treated as decided")
