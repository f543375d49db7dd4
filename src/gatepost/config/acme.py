"""An authority that is asked by ACME for S/MIME (RFC 8555, RFC 8823)."""

from __future__ import annotations

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password
from gatepost.config.est import check_url
from gatepost.config.quantity import File


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Acme(Password):
    """An account at an authority that speaks ACME; see reference/certificate-sources.md."""

    url: str
    """Of the authority's directory, such as "https://ca.example.com/acme/directory"."""
    contact: str = ""
    """Address at which the authority may reach you; empty: none is told."""
    terms: str = ""
    """URL of the authority's terms of service, if it has any: who writes it here agrees to them."""
    eab_kid: str = ""
    """Key identifier of an external account binding; its HMAC key, in base64url as the authority
    gave it, stands in password_file, password_environment or password_credential."""
    anchors: File | None = None
    """PEM file of CAs that its web server is believed by; nothing: those of the system."""
    require_proof: bool = False
    """Answer only challenge mails whose sender DKIM or S/MIME proves."""
    authserv_id: str = ""
    """The name under which your own border server writes Authentication-Results: DKIM counts
    only where it found it."""
    deliver_challenges: bool = False
    """Deliver challenge mails to their recipients too; otherwise they end here."""

    @model_validator(mode="after")
    def _check(self) -> Acme:
        check_url(self.url, ("https",))
        if self.contact and not all(self.contact.partition("@")):
            raise ValueError("contact: expected an address such as pki@example.com")
        if self.eab_kid and self.password_sources != 1:
            raise ValueError(
                "eab_kid needs one of password_file, password_environment, password_credential"
            )
        if self.password_sources and not self.eab_kid:
            raise ValueError("an HMAC key needs eab_kid, the name of the key")
        return self
