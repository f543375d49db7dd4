"""Where certificates of correspondents, and those above them, are looked for."""

from __future__ import annotations

from datetime import timedelta

from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Network
from gatepost.config.quantity import Duration, File


@dataclass(frozen=True, slots=True, config=STRICT)
class Lookup:
    """Where certificates of correspondents are looked for when the directory has none."""

    smimea: bool = False
    """In the DNS, where DNSSEC proves them (RFC 8162), after each [[ldap]] in the order of this
    file; [resolver] says who is asked."""
    patience: Duration = timedelta(seconds=5)
    """How long mail waits for all of them together; each has an equal share of what is left."""
    aia: bool = False
    """Fetch the issuers that a certificate came without from where it says they are (RFC 5280
    section 4.2.2.1). Whoever made the certificate learns then that we look at it, and when."""
    private: tuple[Network, ...] = ()
    """Networks of ours in which web servers with issuers may stand."""
    folder: File | None = None
    """A folder whose certificates are taken in, see lookup.md; nothing: there is none."""
