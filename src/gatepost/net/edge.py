"""One SMTP client's connection: moves octets between a socket and a `ServerSession`.

Asks the application one question at a time, and keeps time.  Reading stops while a
decision is pending and the client has sent more than a little; processing stops while
the client does not read its replies.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeVarTuple, assert_never, cast

from gatepost.mail.reply import Reply
from gatepost.net.application import Application, SessionInfo
from gatepost.net.deadline import Deadline
from gatepost.net.intake import TROUBLE, Intake, reply_for
from gatepost.net.roster import Roster
from gatepost.net.settings import EdgeSettings
from gatepost.net.tls import describe
from gatepost.smtp import replies
from gatepost.smtp.events import (
    BodyChunk,
    BodyStart,
    EndOfData,
    Event,
    Forwarded,
    Hello,
    MailFrom,
    Quit,
    RcptTo,
    Reset,
    Signal,
    StartTls,
)
from gatepost.smtp.server import ServerSession
from gatepost.smtp.state import State

TIMED_OUT: Final = Reply(421, "4.4.2", "Timed out")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Shutting down, try again later")
_BACKLOG: Final = 64 * 1024  # octets taken from a client that should be waiting

_Args = TypeVarTuple("_Args")
_Answer = Reply | None


class Edge(asyncio.Protocol):
    """Drives one session; born by the listener, gone with the connection."""

    def __init__(
        self,
        application: Application,
        settings: EdgeSettings,
        roster: Roster,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._application, self._settings, self._roster = application, settings, roster
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop, self._expired)
        self._intake: Intake | None = None
        self._early = b""
        self._task: asyncio.Task[None] | None = None
        self._is_choked = self._is_paused = self._is_lost = False
        self._is_draining = self._is_overdue = False

    # ── the connection ───────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client, or turn it away."""
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername") or ("", 0)
        tls = describe(transport.get_extra_info("ssl_object"))
        self._info = SessionInfo(self._settings.listener, str(address[0]), int(address[1]), tls=tls)
        settings = self._settings.for_peer(self._info.peer, starttls=self._tls is not None)
        self._session = ServerSession(settings, is_tls=tls is not None)
        self._deadline.set(self._settings.command_timeout)
        refusal = self._roster.enter(self, self._info.peer)
        if refusal is not None:
            self._session.greet(refusal)
        else:
            self._ask(self._application.admit, self._info)
        self._drive()

    def data_received(self, data: bytes) -> None:
        """Hand octets to the session, and go on unless someone is being waited for."""
        if self._session.state is State.HANDSHAKE:
            # Clear text cannot come here, for reading was paused before the handshake:
            # these are the client's first words under TLS, faster than `start_tls` returns.
            self._early += data
            return
        self._session.receive(data)
        if self._task is None and not self._is_choked:
            self._drive()
            self._wait_for_client()
        elif self._session.backlog > _BACKLOG:
            self._pause()

    def eof_received(self) -> bool:
        """The client closed its side; so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; a message being decided is decided all the same."""
        del exc
        self._is_lost = True
        self._roster.leave(self)
        self._deadline.cancel()
        if self._intake is not None:
            self._intake.discard()

    def pause_writing(self) -> None:
        """The client does not read its replies: take no more commands from it."""
        self._is_choked = True
        self._pause()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._is_choked = False
        if self._task is None:
            self._drive()

    def drain(self) -> None:
        """Leave as soon as no transaction is under way."""
        self._is_draining = True
        if self._task is None:
            self._drive()

    def abort(self) -> None:
        """Leave now."""
        self._transport.abort()

    # ── events ───────────────────────────────────────────────────────────────────────

    def _drive(self) -> None:
        """Go on until octets, an answer or a reading client is lacking."""
        session = self._session
        while self._task is None and not self._is_choked and not self._is_lost:
            if self._is_draining and not session.is_open:
                session.close(SHUTTING_DOWN)
            event = session.next_event()
            if isinstance(event, Signal):
                break
            self._obey(event)
        self._flush()
        if self._is_paused and self._task is None and not self._is_choked:
            self._is_paused = False
            self._transport.resume_reading()

    def _obey(self, event: Event) -> None:
        application = self._application
        match event:
            case BodyChunk():
                if self._intake is not None:
                    self._intake.write(event.octets)
            case RcptTo():
                self._ask(application.recipient, self._info, event.envelope, event.recipient)
            case MailFrom():
                self._ask(application.sender, self._info, event.envelope)
            case BodyStart():
                self._intake = Intake(application.sink, self._settings.memory_limit)
                self._session.answer(replies.START)
            case EndOfData():
                self._end_of_data(event)
            case StartTls():
                self._flush()
                self._pause()  # the client's handshake belongs to TLS
                self._task = self._loop.create_task(self._start_tls())
            case Hello() | Forwarded() | Reset():
                self._learn(event)
            case Quit():
                pass  # the session is closed, and `_flush` sees it
            case _:
                assert_never(event)

    def _learn(self, event: Hello | Forwarded | Reset) -> None:
        if isinstance(event, Hello):
            self._info = replace(self._info, helo=event.name, is_extended=event.extended)
        forwarded = event.attributes if isinstance(event, Forwarded) else {}
        self._info = replace(self._info, forwarded=forwarded)

    def _end_of_data(self, event: EndOfData) -> None:
        intake, self._intake = self._intake, None
        assert intake is not None
        if event.fault is not None:
            intake.discard()
        elif (content := intake.finish()) is None:
            self._session.answer(intake.fault)
        else:
            self._ask(self._application.message, self._info, event.envelope, content)
        self._forget_forwarded()

    def _forget_forwarded(self) -> None:
        """What XFORWARD said held for one transaction."""
        if self._info.forwarded:
            self._info = replace(self._info, forwarded={})

    # ── questions ────────────────────────────────────────────────────────────────────

    def _ask(
        self, question: Callable[[*_Args], _Answer | Awaitable[_Answer]], *args: *_Args
    ) -> None:
        """Ask the application; an awaitable answer holds the session back."""
        try:
            answer = question(*args)
        except Exception as error:  # noqa: BLE001 - whatever fails, the client hears 4yz
            answer = reply_for(error, "application")
        if answer is None or isinstance(answer, Reply):
            self._answer(answer)
        else:
            self._deadline.set(self._settings.decision_timeout)
            self._task = self._loop.create_task(self._later(answer))

    async def _later(self, answer: Awaitable[_Answer]) -> None:
        try:
            reply = await answer
        except asyncio.CancelledError:
            if not self._is_overdue:
                raise
            reply = reply_for(TimeoutError("no decision in time"), "application")
        except Exception as error:  # noqa: BLE001 - see _ask
            reply = reply_for(error, "application")
        self._task, self._is_overdue = None, False
        if not self._is_lost:
            self._answer(reply)
            self._drive()
            self._wait_for_client()

    def _answer(self, reply: _Answer) -> None:
        if self._session.state is State.OPENING:
            self._session.greet(reply)
        elif not self._session.is_closed:
            self._session.answer(reply if reply is not None else TROUBLE)

    # ── TLS, time, octets ────────────────────────────────────────────────────────────

    async def _start_tls(self) -> None:
        assert self._tls is not None
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                self._tls,
                server_side=True,
                ssl_handshake_timeout=self._settings.handshake_timeout,
            )
        except (OSError, TimeoutError):  # includes ssl.SSLError: nothing can be said in clear
            self._transport.abort()
            return
        finally:
            self._task = None
        if transport is None or self._is_lost:
            return
        self._transport, self._is_paused = transport, False
        self._session.tls_started()
        self._session.receive(self._early)
        self._early = b""
        tls = describe(transport.get_extra_info("ssl_object"))
        self._info = replace(self._info, tls=tls, helo="", is_extended=False, forwarded={})
        self._drive()
        self._wait_for_client()

    def _wait_for_client(self) -> None:
        """Start the client's time anew, unless it is waiting for us."""
        if self._task is None and not self._is_lost:
            in_body = self._session.state is State.BODY
            settings = self._settings
            self._deadline.set(settings.data_timeout if in_body else settings.command_timeout)

    def _expired(self) -> None:
        if self._task is not None:
            self._is_overdue = True
            self._task.cancel()
        elif self._is_choked or self._transport.is_closing():
            self._transport.abort()  # it will not read our farewell either
        else:
            self._session.close(TIMED_OUT)
            self._flush()

    def _flush(self) -> None:
        octets = self._session.data_to_send()
        if octets and not self._is_lost:
            self._transport.write(octets)
        if self._session.is_closed and not self._is_lost:
            self._transport.close()

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()
