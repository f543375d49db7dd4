"""An authority that is asked by EST (RFC 7030)."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password
from gatepost.config.quantity import File


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Est(Password):
    """A server of Enrolment over Secure Transport, to which the gateway speaks for its people."""

    url: str
    """Where it is, without a path: "https://est.example.com" or "https://est.example.com:8443"."""
    label: str = ""
    """Which of several authorities there (RFC 7030 section 3.2.2)."""
    anchors: File | None = None
    """PEM file of CAs that the server is believed by; nothing: those of the system."""
    user: str = ""
    """Name to log in with; its password is in password_file, _environment or _credential."""
    certificate: File | None = None
    """PEM file of the TLS client certificate the gateway shows, and its issuers."""
    key: File | None = None
    """PEM file with its private key; nothing: it is in the file of the certificate."""
    attributes: bool = True
    """Ask what the server wants in requests (/csrattrs), and refuse what would not fulfil it."""

    @model_validator(mode="after")
    def _check(self) -> Est:
        check_url(self.url, ("https",))
        if urlsplit(self.url).path not in ("", "/"):
            raise ValueError("url: the path is always /.well-known/est; see label")
        if bool(self.user) != (self.password_sources == 1):
            raise ValueError(
                "user needs exactly one of password_file, password_environment,"
                " password_credential, and they need user"
            )
        if self.key is not None and self.certificate is None:
            raise ValueError("key: is the key of a certificate, which is missing")
        return self


def check_url(url: str, schemes: tuple[str, ...]) -> None:
    """Raise ValueError for what is no address of a server."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f'url: expected an address such as "{schemes[0]}://ca.example.com"')
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("url: expected ASCII characters without spaces")
