"""One mail transaction as a server sees it: the envelope so far and the data (RFC 5321 3.3)."""

from __future__ import annotations

from gatepost.mail.envelope import Envelope, Recipient
from gatepost.smtp.data import BareLineEnds, DataReader


class Transaction:
    """Between an accepted MAIL and the end of data."""

    __slots__ = ("_accepted", "_envelope", "_is_stale", "reader")

    def __init__(self, envelope: Envelope) -> None:
        self._envelope, self._is_stale = envelope, False
        self._accepted: list[Recipient] = []
        self.reader: DataReader | None = None

    @property
    def envelope(self) -> Envelope:
        """The envelope with every recipient accepted so far."""
        if self._is_stale:
            self._envelope, self._is_stale = self._envelope.to(*self._accepted), False
        return self._envelope

    @property
    def recipients(self) -> int:
        """How many recipients were accepted."""
        return len(self._accepted)

    def accept(self, recipient: Recipient) -> None:
        """Add a recipient whose RCPT got a positive reply."""
        self._accepted.append(recipient)
        self._is_stale = True

    def receive(self, limit: int, bare: BareLineEnds) -> None:
        """Begin to read the data."""
        self.reader = DataReader(limit, bare)
