"""One mail transaction as a server sees it: envelope so far, data or chunks (RFC 5321 3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.smtp.data import BareLineEnds, ChunkReader, DataReader


@dataclass(slots=True)
class Chunk:
    """The octets one BDAT announced."""

    left: int
    is_last: bool
    refusal: Reply | None = None  # the octets are thrown away, then this is said
    is_finished: bool = False  # the content's end was put behind the last octet


class Transaction:
    """Between an accepted MAIL and the end of data."""

    __slots__ = ("_accepted", "_envelope", "_is_stale", "chunks", "is_spoiled", "reader")

    def __init__(self, envelope: Envelope) -> None:
        self._envelope, self._is_stale = envelope, False
        self._accepted: list[Recipient] = []
        self.reader: DataReader | None = None  # under DATA
        self.chunks: ChunkReader | None = None  # under BDAT
        self.is_spoiled = False  # a chunk was refused: so will the others be

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
        """Begin to read what follows DATA."""
        self.reader = DataReader(limit, bare)

    def receive_chunks(self, limit: int, bare: BareLineEnds) -> None:
        """Begin to read what follows each BDAT."""
        self.chunks = ChunkReader(limit, bare)

    def take(self, chunk: Chunk, octets: bytes) -> bytes:
        """Content octets of a chunk, `left` of which are still to come."""
        assert self.chunks is not None
        taken = self.chunks.read(octets)
        if chunk.is_last and not chunk.left and not chunk.is_finished:
            chunk.is_finished = True
            taken += self.chunks.finish()
        return taken
