"""Where mail goes after the gateway: next hops and the routes that are exceptions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from gatepost.config.endpoint import STRICT, Password, Protocol, joined, split_port, table
from gatepost.config.quantity import Domain, File

RelayTls = Literal["none", "opportunistic", "required", "verified"]


@dataclass(frozen=True, slots=True, config=STRICT)
class Relay(Password):
    """A mail server to hand mail to."""

    host: Annotated[str, Field(min_length=1)]
    """Name or address of the server."""
    port: Annotated[int, Field(ge=1, le=65535)] = 25
    """TCP port."""
    tls: RelayTls = "opportunistic"
    """none | opportunistic: if offered | required: any certificate | verified: chain and name."""
    tls_name: str = ""
    """Name the server's certificate must carry; empty: the host."""
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
        return joined(self.host, self.port)


def _relay(value: object) -> object:
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
    """The server that takes mail for the world."""


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
