"""A message in transit: envelope, where it came from, header block and body (RFC 5598)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from gatepost.mail.content import Content, Octets, Rope
from gatepost.mail.envelope import Envelope, Recipient


class Direction(Enum):
    """Which way a message crosses the ADMD's border."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True)
class Arrival:
    """How and when a message came to us."""

    queue_id: str
    received_at: datetime  # aware, UTC
    listener: str = ""
    peer: str = ""  # IP address of the SMTP client
    helo: str = ""
    tls: str | None = None  # protocol and cipher of the session, None: clear text
    authenticated_as: str | None = None
    protocol: str = "ESMTP"  # RFC 3848 keyword for Received


@dataclass(frozen=True, slots=True)
class Message:
    """One message.  `header` ends after the last field; the empty line is not part of it.

    `findings` collects what stages learned (reports, decisions), oldest first.
    """

    direction: Direction
    envelope: Envelope
    arrival: Arrival
    header: bytes  # raw header fields, each line ending CRLF
    body: Content  # everything after the empty line
    findings: tuple[object, ...] = ()

    @property
    def content(self) -> Content:
        """Header, empty line and body as one content."""
        return Rope((Octets(self.header + b"\r\n"), self.body))

    @property
    def size(self) -> int:
        """Octets of the whole content."""
        return len(self.header) + 2 + self.body.size

    def to(self, *recipients: Recipient) -> Message:
        """The same message for these recipients only."""
        envelope = self.envelope.to(*recipients)
        return self if envelope is self.envelope else replace(self, envelope=envelope)

    def noting(self, *findings: object) -> Message:
        """The same message with more findings."""
        return replace(self, findings=(*self.findings, *findings))
