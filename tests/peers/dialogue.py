"""An SMTP client that says whatever it is told, octet by octet."""

import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.patience import PATIENCE

REPLY = re.compile(rb"(?:[2-5][0-9]{2}-[^\r\n]*\r\n)*([2-5][0-9]{2})(?: ([^\r\n]*))?\r\n")


class Closed(Exception):
    """The server closed the connection."""


@dataclass
class Client:
    """One connection.  `said` keeps every reply."""

    port: int
    said: list[bytes] = field(default_factory=list)
    _rest: bytes = b""

    def __enter__(self) -> Self:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        assert self.reply().startswith(b"220 ")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, octets: bytes) -> None:
        """Say this; a server that no longer listens is no failure yet."""
        with suppress(ConnectionError):
            self.socket.sendall(octets)

    def hang_up(self) -> None:
        """Say nothing more, but listen."""
        with suppress(OSError):  # the server may have been faster
            self.socket.shutdown(socket.SHUT_WR)

    def reply(self) -> bytes:
        """The next whole reply; raises Closed at the end, AssertionError for what is none."""
        while not (found := REPLY.match(self._rest)):
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                assert not self._rest, f"half a reply: {self._rest!r}"
                raise Closed
            self._rest += more
        reply, self._rest = found[0], self._rest[found.end() :]
        assert found[2], f"a reply without text: {reply!r}"
        self.said.append(reply)
        return reply

    def ask(self, line: bytes) -> bytes:
        """Say a command and hear its reply."""
        self.send(line + b"\r\n")
        return self.reply()

    def begin(self, sender: bytes, recipient: bytes, parameters: bytes = b"") -> bytes:
        """Go as far as DATA; returns its reply."""
        self.ask(b"EHLO client.test")
        assert self.ask(b"MAIL FROM:<" + sender + b">" + parameters).startswith(b"250 ")
        assert self.ask(b"RCPT TO:<" + recipient + b">").startswith(b"250 ")
        return self.ask(b"DATA")

    def message(self, octets: bytes) -> bytes:
        """Send a message after DATA, as transparent as RFC 5321 section 4.5.2 wants it."""
        stuffed = re.sub(rb"(?m)^\.", b"..", octets)
        end = b".\r\n" if stuffed.endswith(b"\r\n") or not stuffed else b"\r\n.\r\n"
        self.send(stuffed + end)
        return self.reply()

    def rest(self) -> list[bytes]:
        """Every further reply until the server closes."""
        replies = []
        with suppress(Closed):
            while True:
                replies.append(self.reply())
        return replies
