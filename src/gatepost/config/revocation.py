"""How much it counts whether somebody else's certificate was revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Network
from gatepost.config.quantity import Duration, Size

Strictness = Literal["hard", "grace", "soft", "off"]
Staple = Literal["off", "lists", "answers"]


@dataclass(frozen=True, slots=True, config=STRICT)
class Revocation:
    """Lists and OCSP answers of other authorities: fetched, kept, and asked."""

    outbound: Strictness = "soft"
    """For certificates mail is encrypted to. hard: unknown counts as revoked | grace: so where a
    certificate says whom to ask, and the last good answer counts longer | soft: unknown is noted |
    off: nobody asks."""
    inbound: Strictness = "soft"
    """The same for signers of arriving mail."""
    grace: Duration = timedelta(days=7)
    """How long the last good answer counts beyond its end, with "grace"."""
    patience: Duration = timedelta(seconds=3)
    """How long a message waits for answers that are not here yet; with "soft" none waits once two
    have waited in vain, until somebody answers or ten minutes have passed."""
    staple: Staple = "off"
    """What our own signatures carry along of their signer's revocation, 8 KiB at most. lists: of
    his CAs, which every program reads over | answers: OCSP, and lists where there is none; whoever
    reads with Thunderbird or gpgsm cannot read such mail at all | off."""
    maximum: Annotated[Size, Field(ge=1024, le=64 << 20)] = 20 << 20
    """Octets of one list."""
    private: tuple[Network, ...] = ()
    """Networks of ours in which such servers may stand, for example a partner's over a VPN."""
