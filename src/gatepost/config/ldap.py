"""The tables `[[ldap]]`: directories with correspondents' certificates, or with our own people."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password
from gatepost.config.quantity import Domain, Duration, File, Size

_PORTS = {"ldap": 389, "ldaps": 636}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def _url(value: str) -> str:
    parts = urlsplit(value)
    try:
        good = parts.scheme in _PORTS and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError('expected an address such as "ldaps://ldap.example.com"')
    return value


def _filter(value: str) -> str:
    if "%s" not in value:
        raise ValueError("expected a filter with %s where the address stands")
    return value


@dataclass(frozen=True, slots=True, kw_only=True, config=STRICT)
class Ldap(Password):
    """A directory; the password, if any, is that of `user`."""

    url: Annotated[str, AfterValidator(_url)]
    """Where it is: "ldaps://host", or "ldap://host" (with StartTLS), and perhaps a port."""
    base: str
    """Below which entry is searched, such as "dc=example,dc=com"."""
    starttls: bool = True
    """Whether TLS begins inside a connection to ldap://; false: in clear, for public directories
    and on loopback only."""
    anchors: File | None = None
    """PEM file of CAs that the server is believed by; nothing: those of the system."""
    user: str = ""
    """Distinguished name to bind as; empty: anonymous."""
    filter: Annotated[str, AfterValidator(_filter)] = "(mail=%s)"
    """What finds a mailbox (RFC 4515); %s is its address."""
    scope: Literal["base", "one", "sub"] = "sub"
    """How far below the base: the entry itself, its children, or everything."""
    attributes: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)] = (
        "userCertificate;binary",
        "userSMIMECertificate;binary",
    )
    """Attributes with certificates."""
    domains: tuple[Domain, ...] = ()
    """Whose certificates it is asked for; empty: everybody's."""
    certificates: bool = True
    """Whether it is asked for correspondents' certificates; false: for groups only."""
    timeout: Duration = timedelta(seconds=3)
    """How long one question may take; never longer than its share of [lookup] patience."""
    entries: Annotated[int, Field(ge=1, le=1000)] = 20
    """Entries that one address may have."""
    size: Annotated[Size, Field(ge=4096, le=16 << 20)] = 1 << 20
    """Octets of one answer."""

    @property
    def host(self) -> str:
        """The server's name."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The server's port."""
        parts = urlsplit(self.url)
        return parts.port or _PORTS[parts.scheme]

    @property
    def is_near(self) -> bool:
        """Whether the server is on this machine."""
        return self.host in _LOOPBACK

    @property
    def tls(self) -> Literal["implicit", "starttls", "none"]:
        """How the connection is protected."""
        if urlsplit(self.url).scheme == "ldaps":
            return "implicit"
        return "starttls" if self.starttls else "none"

    @model_validator(mode="after")
    def _check(self) -> Ldap:
        if self.password_sources > 1 or bool(self.user) != bool(self.password_sources):
            raise ValueError(
                "user needs one of password_file, password_environment, password_credential,"
                " and a password needs a user"
            )
        if self.user and self.tls == "none" and not self.is_near:
            raise ValueError("starttls: a password is not sent in clear")
        return self
