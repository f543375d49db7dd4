"""Where a message goes next and what was said there (RFC 5321 section 5, RFC 3464)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gatepost.mail.envelope import Recipient
from gatepost.mail.reply import Reply

TlsPolicy = Literal["none", "opportunistic", "required", "verified"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are to a server that asks (RFC 4954)."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NextHop:
    """A relay to hand mail to.

    `required` refuses clear text but takes any certificate; `verified` also checks
    its chain and name.
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

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one recipient in one mail transaction with the next hop."""

    recipient: Recipient
    reply: Reply
    remote: str = ""  # "host[address]:port" that gave the reply; empty: none was reached
    tls: str | None = None  # protocol and cipher; None: clear text
