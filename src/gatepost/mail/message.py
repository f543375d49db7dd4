"""A message in transit: envelope, where it came from, header block and body (RFC 5598)."""

from __future__ import annotations

from dataclasses import dataclass
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
        return self if envelope is self.envelope else self.enveloped(envelope)

    def carrying(self, header: bytes, body: Content) -> Message:
        """The same message with other octets."""
        return Message(self.direction, self.envelope, self.arrival, header, body, self.findings)

    def headed(self, header: bytes) -> Message:
        """The same message with another header."""
        return self.carrying(header, self.body)

    def enveloped(self, envelope: Envelope) -> Message:
        """The same message in another envelope."""
        return Message(
            self.direction, envelope, self.arrival, self.header, self.body, self.findings
        )

    def noting(self, *findings: object) -> Message:
        """The same message with more findings."""
        noted = (*self.findings, *findings)
        return Message(self.direction, self.envelope, self.arrival, self.header, self.body, noted)
