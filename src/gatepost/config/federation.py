"""Whether this gateway and those of other companies get to know each other by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT
from gatepost.config.quantity import Duration, File


@dataclass(frozen=True, slots=True, config=STRICT)
class Federation:
    """Getting to know other gateways without anybody's doing, see reference/federation.md."""

    announce: bool = False
    """Make our domains' announcements, and serve them where [public] listens."""
    discover: bool = False
    """Fetch the announcements of domains that we write to, or that write to us."""
    encryption: Literal["none", "wished", "required"] = "wished"
    """How our announcement says that we want to be written to."""
    domain_certificate: bool = True
    """Announce a certificate for each whole domain, so that already the first mail is encrypted."""
    patience: Duration = timedelta(seconds=4)
    """How long mail waits for an announcement."""
    private_addresses: bool = False
    """Ask web servers at private addresses too: in closed networks."""
    port: Annotated[int, Field(ge=1, le=65535)] = 443
    """The port of everybody's web server; another one only in closed networks."""
    anchors: File | None = None
    """PEM file of CAs that web servers are believed by; nothing: those of the system."""
