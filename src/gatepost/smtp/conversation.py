"""The octets of a server session, what it says, and how often its client was wrong.

What `ServerSession` builds on; nothing here knows a command.
"""

from __future__ import annotations

from typing import Final

from gatepost.mail.reply import Reply
from gatepost.smtp import replies
from gatepost.smtp.settings import ServerSettings
from gatepost.smtp.state import State, is_open
from gatepost.smtp.transaction import Chunk, Transaction

ENDING: Final = frozenset({421, 521})  # replies after which the connection closes


class Conversation:
    """One connection's input and output, and the state it is in."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._buffer, self._at = b"", 0
        self._out: list[bytes] = []
        self._errors = 0
        self._transaction: Transaction | None = None
        self._chunk: Chunk | None = None
        self.state = State.OPENING

    @property
    def is_open(self) -> bool:
        """Whether a mail transaction is under way."""
        return is_open(self.state)

    @property
    def is_closed(self) -> bool:
        """Whether the last reply was given: send it, then close the connection."""
        return self.state is State.CLOSED

    @property
    def backlog(self) -> int:
        """How many received octets wait to be looked at."""
        return len(self._buffer) - self._at

    def receive(self, data: bytes) -> None:
        """Take octets from the client.

        RFC 3207 section 6: what a man in the middle put behind STARTTLS in clear text
        must not be taken as said under TLS; it is dropped.
        """
        if self.state is State.HANDSHAKE or self.state is State.CLOSED:
            return
        if self._at == len(self._buffer):
            self._buffer, self._at = data, 0
        else:
            self._buffer, self._at = self._buffer[self._at :] + data, 0

    def data_to_send(self) -> bytes:
        """Every octet said since the last call."""
        if not self._out:
            return b""
        out, self._out = b"".join(self._out), []
        return out

    def close(self, reply: Reply) -> None:
        """Say a last reply (421: time-out, shutdown) and be done with this client."""
        if self.state is not State.CLOSED:
            self._say(reply)
            self._end()

    def _end(self) -> None:
        self.state = State.CLOSED
        self._buffer, self._at = b"", 0
        self._transaction = self._chunk = None

    def _refuse(self, reply: Reply) -> None:
        """Say what was wrong; a client that is wrong too often is sent away."""
        self._errors += 1
        if reply.code in ENDING:
            self.close(reply)
            return
        self._say(reply)
        if self._errors >= self._settings.error_limit:
            self.close(replies.TOO_MANY_ERRORS)

    def _say(self, reply: Reply) -> None:
        self._out.append(replies.encoded(reply))

    def _say_to_all(self, reply: Reply, recipients: int) -> None:
        """Say what became of a message: in LMTP to each recipient (RFC 2033 section 4.2)."""
        for _ in range(recipients if self._settings.lmtp else 1):
            self._say(reply)
