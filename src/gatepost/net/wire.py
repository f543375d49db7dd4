"""One connection to a next hop: moves octets between a socket and a `ClientSession`.

Whatever goes wrong here is raised as `Broken` with the reply the recipients get.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from typing import Final, cast

import structlog

from gatepost.errors import Malformed
from gatepost.events import Name
from gatepost.mail.content import Content
from gatepost.mail.reply import Reply
from gatepost.net.deadline import Deadline
from gatepost.net.intake import reply_for
from gatepost.net.tls import describe
from gatepost.smtp.client import ClientEvent, ClientSession, NextClientEvent
from gatepost.smtp.events import Signal
from gatepost.smtp.settings import ClientSettings

_log = structlog.get_logger("gatepost.net")
_SEND: Final = 256 * 1024  # octets given to the socket before waiting for it


class Broken(Exception):
    """The connection cannot be used any more."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Wire(asyncio.Protocol):
    """A connection; used by one transaction at a time."""

    def __init__(self, settings: ClientSettings) -> None:
        self.session = ClientSession(settings)
        self.is_verified = False  # under TLS, and the hop proved its name
        self.tls: str | None = None
        self.proved = "clear text"  # of the hop, in words
        self.address = ""
        self.uses = 0
        self.is_lost = False
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = Deadline(self._loop, self._expired)
        self._is_choked = self._has_news = self._is_late = False

    # ── asyncio ──────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom we reached."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(_SEND)
        peer = transport.get_extra_info("peername") or ("",)
        self.address = str(peer[0])
        self.tls = describe(self.encryption)

    def data_received(self, data: bytes) -> None:
        """Hand octets to the session and wake whoever waits."""
        if self.session.is_idle:
            self.is_lost = True  # nothing was asked: a farewell, or nonsense
        self.session.receive(data)
        self._has_news = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits; they will find out."""
        del exc
        self.is_lost = True
        self._deadline.cancel()
        self._wake()

    def pause_writing(self) -> None:
        """The hop takes octets slower than they come."""
        self._is_choked = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._is_choked = False
        self._wake()

    # ── for the relay ────────────────────────────────────────────────────────────────

    @property
    def encryption(self) -> object:
        """The connection's `ssl_object`; None: it is in clear text."""
        return self._transport.get_extra_info("ssl_object")

    @property
    def is_reusable(self) -> bool:
        """Whether another transaction may be tried on this connection."""
        return self.session.is_idle and not self.is_lost and not self._transport.is_closing()

    async def event(self, patience: float) -> ClientEvent:
        """The session's next event; this many seconds of silence break the connection.

        Dripping octets buys a hop no more than four times as long.
        """
        end = self._loop.time() + 4 * patience
        while True:
            event = self._next()
            self._flush()
            if not isinstance(event, Signal):
                return event
            if self.is_lost:
                raise Broken(Reply(451, "4.4.2", "Connection closed by the next hop"))
            await self._wait(min(patience, end - self._loop.time()))

    async def send(self, content: Content, patience: float) -> ClientEvent | None:
        """Send the body and its end; an event when the server spoke before the end.

        A fault of ours never ends the body as if it were whole.
        """
        self._has_news = False
        try:
            for piece in _pieces(content):
                early = await self._pushed(patience)  # the last piece leaves with the end
                if early is not None:
                    return early
                self.session.write(piece)
            self.session.finish()
        except Malformed as error:
            _log.error(Name.SERVICE_ERROR, where="wire.send", detail=str(error))
            raise Broken(Reply(554, "5.6.0", "Message has bare CR or LF")) from error
        except (Broken, asyncio.CancelledError):
            raise
        except Exception as error:
            raise Broken(reply_for(error, "content")) from error
        self._flush()
        return None

    async def _pushed(self, patience: float) -> ClientEvent | None:
        """Give the socket what the session has; wait for room when it has had enough."""
        self._flush()
        while True:
            if self.is_lost:
                return await self.event(patience)
            if self._has_news and (early := self._news()) is not None:
                return early
            if not self._is_choked:
                return None
            await self._wait(patience)

    def _news(self) -> ClientEvent | None:
        """What the hop said in mid-body; of a chunk that was taken nothing comes."""
        self._has_news = False
        event = self._next()
        return None if isinstance(event, Signal) else event

    def _next(self) -> NextClientEvent:
        try:
            return self.session.next_event()
        except Malformed as error:
            raise Broken(Reply(451, "4.5.0", f"Next hop does not speak SMTP: {error}")) from None

    async def _wait(self, patience: float) -> None:
        """Until something happens to the connection."""
        self._deadline.set(patience)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._is_late:
            raise Broken(Reply(451, "4.4.2", "Next hop does not answer"))

    def _expired(self) -> None:
        if self._waiter is not None:
            self._is_late = True
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _flush(self) -> None:
        octets = self.session.data_to_send()
        if octets and not self.is_lost:
            self._transport.write(octets)

    def close(self) -> None:
        """Say QUIT and hang up without waiting for the answer."""
        if self.is_lost or self._transport.is_closing():
            return
        if self.session.is_idle:
            self.session.quit()
            self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once: the server must not take what was sent for a whole message."""
        self.is_lost = True
        self._transport.abort()

    async def start_tls(
        self,
        context: ssl.SSLContext,
        name: str,
        patience: float,
        prove: Callable[[Wire], None],
    ) -> None:
        """Do the handshake; raises OSError (which ssl.SSLError is) or TimeoutError.

        `prove` looks at the certificate before a word is said.
        """
        transport = await self._loop.start_tls(
            self._transport, self, context, server_hostname=name, ssl_handshake_timeout=patience
        )
        if transport is None or self.is_lost:
            raise ConnectionResetError("connection closed during the TLS handshake")
        self._transport = transport
        self._transport.set_write_buffer_limits(_SEND)
        self.tls = describe(self.encryption)
        prove(self)
        self.session.tls_started()
        self._flush()


def _pieces(content: Content) -> Iterator[bytes]:
    """The content in pieces the socket can take; small chunks as they are."""
    for chunk in content.chunks():
        if len(chunk) <= _SEND:
            yield chunk
        else:
            yield from (chunk[at : at + _SEND] for at in range(0, len(chunk), _SEND))
