"""What can be set about an SMTP session; limits of RFC 5321 section 4.5.3.1 as floors."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.smtp.data import BareLineEnds


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server session behaves; one value serves all sessions of a listener."""

    hostname: str
    size_limit: int = 50 * 1024 * 1024
    recipient_limit: int = 1000  # at least 100 by section 4.5.3.1.8
    line_limit: int = 2048  # command line with its CRLF and every extension's parameters
    error_limit: int = 10  # protocol errors before 421
    bare: BareLineEnds = "reject"
    starttls: bool = False  # offer STARTTLS
    require_tls: bool = False
    smtputf8: bool = False
    forward: bool = False  # the peer is trusted to speak XFORWARD
    substitute: bool = False  # the peer is a proxy trusted to speak XCLIENT
    lmtp: bool = False  # RFC 2033: LHLO, and a reply for each recipient
    mechanisms: tuple[str, ...] = ()  # of AUTH, in our order of preference
    auth_in_clear: bool = False  # offer AUTH without TLS: on the loopback only
    idle_limit: int = 100  # commands without a message accepted before 421
    login_limit: int = 3  # failed log-ins before 421
    banner: str = "ESMTP"
    postmaster_domain: str = ""  # of a bare <Postmaster> (section 4.5.1); empty: the hostname


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How a client session behaves."""

    helo: str
    lmtp: bool = False
    reply_line_limit: int = 4096  # section 4.5.3.1.5 asks for 512; some write more
    reply_lines_limit: int = 200
