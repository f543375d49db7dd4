"""Where a message goes next and what was said there (RFC 5321 section 5, RFC 3464)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gatepost.mail.envelope import Recipient
from gatepost.mail.reply import Reply

TlsPolicy = Literal["none", "opportunistic", "required", "verified", "dane", "mta-sts"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a server that asks (RFC 4954)."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tlsa:
    """What a domain publishes of a server's certificate (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()[:16]}…"


@dataclass(frozen=True, slots=True)
class NextHop:
    """A server to hand mail to; connections to equal ones serve each other's mail.

    `required` refuses clear text but takes any certificate; `verified` also checks
    its chain and name; `dane` compares it with `tlsa`.  With `mx` it stands for the servers
    that the DNS names for `host`, or for each recipient's domain when that is empty.
    """

    host: str
    port: int = 25
    tls: TlsPolicy = "opportunistic"
    tls_name: str = ""  # name to verify; empty: the host
    tls_ca: str = ""  # file of trust anchors; empty: the system's
    implicit_tls: bool = False  # TLS from the first octet (RFC 8314), usually port 465
    lmtp: bool = False  # a mailbox server that answers for each recipient (RFC 2033)
    credentials: Credentials | None = None
    xforward: bool = False  # it may hear whose mail this was before ours
    chunking: bool = False  # send by BDAT where offered (RFC 3030)
    addresses: tuple[str, ...] = ()  # tried in this order; empty: what the system finds
    names: tuple[
        str, ...
    ] = ()  # one of which is to be verified, ".x": any below x; empty: tls_name
    tlsa: tuple[Tlsa, ...] = ()
    mx: bool = False
    domain: str = field(default="", compare=False)  # whose MX it is; empty: it was configured
    why: str = field(default="", compare=False)  # where `tls` comes from, in words

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one recipient in one mail transaction with the next hop."""

    recipient: Recipient
    reply: Reply
    remote: str = ""  # "host[address]:port" that gave the reply; empty: none was reached
    tls: str | None = None  # protocol and cipher; None: clear text
    security: str = ""  # which TLS policy held, why, and what the server proved
    reports: bool = False  # the server took the author's wishes for reports with it (RFC 3461)
    is_final: bool = False  # a mailbox server that answers for each recipient (RFC 2033)
