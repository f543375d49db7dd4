"""What an edge asks whoever decides about mail, and where it puts the octets.

The edge knows SMTP and sockets, the application knows policy and queues.  Every answer
may be given at once or awaited; an exception becomes 451 and the session lives on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gatepost.mail.content import Content
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.net.peer import PeerCertificate
from gatepost.smtp.scram import Verifier


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """Who is speaking to us; grows as the session learns more."""

    listener: str
    peer: str  # IP address
    port: int
    helo: str = ""
    is_extended: bool = False  # EHLO was said
    tls: str | None = None  # protocol and cipher
    forwarded: Mapping[str, str] = field(default_factory=dict)  # XFORWARD of this transaction
    authenticated_as: str = ""  # the name given by AUTH, or by a trusted proxy
    certificate: PeerCertificate | None = None  # verified in the handshake
    is_lmtp: bool = False

    @property
    def protocol(self) -> str:
        """The keyword for the Received field."""
        return self.keyword()

    def keyword(self, *, smtputf8: bool = False) -> str:
        """The keyword for the Received field of a message (RFC 3848, RFC 6531 section 4.3)."""
        if not self.is_extended:
            return "SMTP"
        word = "LMTP" if self.is_lmtp else "SMTP" if smtputf8 else "ESMTP"
        secure, known = "S" if self.tls else "", "A" if self.authenticated_as else ""
        return f"{'UTF8' if smtputf8 else ''}{word}{secure}{known}"


class Sink(Protocol):
    """Takes a message's octets as they come; then exactly one of finish and discard."""

    def write(self, octets: bytes, /) -> None:
        """Append octets."""
        ...

    def finish(self) -> Content:
        """Everything written, readable again and again."""
        ...

    def discard(self) -> None:
        """Throw everything away; also called when `write` or `finish` failed."""
        ...


class Application(Protocol):
    """Decides what a session may do."""

    def admit(self, session: SessionInfo, /) -> Reply | Awaitable[Reply | None] | None:
        """Whether this client may speak at all; None greets it, a 4yz or 5yz turns it away."""
        ...

    def sender(self, session: SessionInfo, envelope: Envelope, /) -> Reply | Awaitable[Reply]:
        """Answer MAIL; the envelope has no recipients yet."""
        ...

    def recipient(
        self, session: SessionInfo, envelope: Envelope, recipient: Recipient, /
    ) -> Reply | Awaitable[Reply]:
        """Answer RCPT; the envelope holds the recipients accepted before."""
        ...

    def message(
        self, session: SessionInfo, envelope: Envelope, content: Content, /
    ) -> Reply | Sequence[Reply] | Awaitable[Reply | Sequence[Reply]]:
        """Answer the end of data: a 2yz takes responsibility (RFC 5321 section 6.1).

        An LMTP session (`session.is_lmtp`) may be given one reply for each recipient.
        """
        ...

    def sink(self) -> Sink:
        """Where a message too large for memory goes."""
        ...


class Authenticator(Protocol):
    """Knows who may log in."""

    def verifier(self, name: str, /) -> Verifier | Awaitable[Verifier]:
        """What is known about a name's password; a decoy for a name that is not known."""
        ...
