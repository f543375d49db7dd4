"""Microsoft 365: a script for Exchange Online PowerShell, its undo, and what to do by hand.

Traps: Exchange hands mail over to port 25 only; its connector knows us by our certificate,
never by address alone; every rule needs the exception for mail that comes back; and the
field that makes the exception must be taken off what did not come from us.
"""

from __future__ import annotations

from gatepost.admin.integrate.file import File, filled, powershell
from gatepost.admin.integrate.site import Site
from gatepost.errors import ConfigError
from gatepost.mail.voucher import NAME

TO, FROM = "Gatepost: to the gateway", "Gatepost: from the gateway"
STRIP, OUT, IN = "Gatepost 1: forged marks", "Gatepost 2: leaving", "Gatepost 3: arriving"
SMIME = (r"application/(x-)?pkcs7-", r"multipart/signed", r"smime\.p7[ms]")
_WAYS = {"after-queue": False, "smart-host": False, "parallel": True}


def files(site: Site, topology: str) -> tuple[File, ...]:
    """Script, undo and steps."""
    if topology not in _WAYS:
        raise ConfigError(
            f"Exchange Online cannot be used as {topology}",
            hint="--topology after-queue routes all mail through the gateway, parallel only S/MIME",
        )
    arriving = "arriving-smime.ps1" if _WAYS[topology] else "arriving.ps1"
    values = {
        "host": powershell(site.hostname),
        "field": powershell(NAME),
        "to": powershell(TO),
        "from": powershell(FROM),
        "strip": powershell(STRIP),
        "out": powershell(OUT),
        "in": powershell(IN),
        "domains": ", ".join(map(powershell, site.domains)),
        "smime": ", ".join(map(powershell, SMIME)),
    }
    said = {
        "hostname": site.hostname,
        "names": ", ".join(site.domains),
        "config": str(site.config),
        "mark": NAME,
        "to_name": TO,
        "from_name": FROM,
        "topology": topology,
        "route": f"{site.domains[0].replace('.', '-')}.mail.protection.outlook.com",
    }
    values["arriving"] = filled(arriving, values).rstrip("\n")
    return (
        File("connect.ps1", filled("connect.ps1", values)),
        File("undo.ps1", filled("undo.ps1", values)),
        File("STEPS.md", filled("m365.md", said)),
    )
