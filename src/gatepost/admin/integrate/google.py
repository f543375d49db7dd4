"""Google Workspace: the steps in the admin console, with the values to enter.

Traps: an inbound gateway makes Google trust every message from its addresses; a routing
rule without the exception for the trace field sends returning mail out again; changes take
up to an hour.
"""

from __future__ import annotations

from gatepost.admin.integrate.file import File, filled, pattern
from gatepost.admin.integrate.microsoft import SMIME
from gatepost.admin.integrate.site import Site
from gatepost.errors import ConfigError
from gatepost.mail.voucher import NAME

_WAYS = ("after-queue", "smart-host", "parallel")


def files(site: Site, topology: str) -> tuple[File, ...]:
    """The steps."""
    if topology not in _WAYS:
        raise ConfigError(
            f"Google Workspace cannot be used as {topology}",
            hint="--topology after-queue routes all mail through the gateway, parallel only S/MIME",
        )
    arriving = "google-smime.md" if topology == "parallel" else "google-all.md"
    values = {
        "topology": topology,
        "config": str(site.config),
        "hostname": site.hostname,
        "names": ", ".join(site.domains),
        "mark": NAME,
        "senders": pattern(site.domains),
        "smime": "|".join(SMIME),
    }
    values["arriving"] = filled(arriving, values).rstrip("\n")
    return (File("STEPS.md", filled("google.md", values)),)
