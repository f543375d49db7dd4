"""Where mail goes after the gateway: next hops and the routes that are exceptions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password, Protocol, joined, split_port, table
from gatepost.config.quantity import Domain, File

RelayTls = Literal["none", "opportunistic", "required", "verified", "dane", "mta-sts"]
_MX = "mx"  # instead of an address: look it up


@dataclass(frozen=True, slots=True, config=STRICT)
class Relay(Password):
    """A mail server to hand mail to, or the servers that the DNS names."""

    host: str = ""
    """Name or address of the server."""
    mx: bool = False
    """Instead of a host: the MX hosts of each recipient's domain; "mx" alone is short for it."""
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    """TCP port."""
    tls: RelayTls = "opportunistic"
    """none | opportunistic: if offered, and what MX hosts promise by DANE or MTA-STS
    | required: any certificate | verified: chain and name | dane: TLSA records | mta-sts: MX
    hosts under an enforced policy or DANE."""
    tls_name: str = ""
    """Name the server's certificate must carry; empty: the host, or what an MX host must prove."""
    tls_ca: File | None = None
    """File of trust anchors (PEM) for `verified`; absent: the system's."""
    implicit_tls: bool = False
    """TLS from the first octet (RFC 8314), usually on port 465."""
    protocol: Protocol = "smtp"
    """smtp | lmtp: a mailbox server that answers for each recipient."""
    username: str = ""
    """Name to log in with; the password stands in password_file, _environment or _credential."""
    xforward: bool = False
    """Tell it whose mail this was before ours, where it offers XFORWARD."""
    chunking: bool = False
    """Send messages by BDAT where it offers CHUNKING; DATA does the same work everywhere."""

    @model_validator(mode="after")
    def _check_where(self) -> Relay:
        if self.mx == bool(self.host):
            raise ValueError("expected a host, or mx = true: the MX hosts of each domain")
        if self.mx and (self.username or self.implicit_tls or self.protocol == "lmtp"):
            raise ValueError("username, implicit_tls and LMTP need a host, MX hosts are strangers")
        if self.tls == "mta-sts" and not self.mx:
            raise ValueError('tls = "mta-sts" is for MX hosts, a host is verified by "verified"')
        return self

    @model_validator(mode="after")
    def _check_log_in(self) -> Relay:
        if self.username and self.password_sources != 1:
            raise ValueError(
                "username needs one of password_file, password_environment, password_credential"
            )
        if not self.username and self.password_sources:
            raise ValueError("a password needs a username")
        if self.implicit_tls and self.tls == "none":
            raise ValueError('implicit_tls contradicts tls = "none"')
        if self.protocol == "lmtp" and self.port == 25:
            raise ValueError("LMTP is not spoken on port 25 (RFC 2033 section 5)")
        return self

    def __str__(self) -> str:
        return "the MX hosts" if self.mx else joined(self.host, self.port)


def _relay(value: object) -> object:
    if value == _MX:
        return {"mx": True}
    if isinstance(value, str):
        host, port = split_port(value, default=25)
        return {"host": host, "port": port}
    return table(value)


Hop = Annotated[Relay, BeforeValidator(_relay, json_schema_input_type=str | Relay)]


@dataclass(frozen=True, slots=True, config=STRICT)
class NextHops:
    """Where mail goes after the gateway."""

    inbound: Hop | None = None
    """The organisation's own mail server."""
    outbound: Hop | None = None
    """The server that takes mail for the world, or "mx": the servers of each domain."""

    @model_validator(mode="after")
    def _check(self) -> NextHops:
        if self.inbound is not None and self.inbound.mx:
            raise ValueError("inbound: name the mail server, MX records lead back to this gateway")
        return self


@dataclass(frozen=True, slots=True, config=STRICT)
class Route(Relay):
    """An exception: outbound mail for one domain goes to another server."""

    domain: Domain = ""
    """The recipients' domain."""

    @model_validator(mode="after")
    def _check(self) -> Route:
        if not self.domain:
            raise ValueError("domain is missing: name the recipients' domain this route is for")
        return self
