"""One SMTP client's connection: moves octets between a socket and a `ServerSession`.

Asks the application one question at a time, and keeps time.  Reading stops while a
decision is pending and the client has sent more than a little; processing stops while
the client does not read its replies.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, TypeVarTuple, assert_never, cast

import structlog

from gatepost.events import Name
from gatepost.mail.reply import Reply
from gatepost.net.application import Application, Authenticator, SessionInfo
from gatepost.net.deadline import Deadline
from gatepost.net.intake import TROUBLE, Intake, reply_for
from gatepost.net.peer import certificate_of
from gatepost.net.roster import TOO_MANY_MESSAGES, Roster
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
    Login,
    LookUp,
    MailFrom,
    Quit,
    RcptTo,
    Reset,
    Signal,
    StartTls,
    Substituted,
)
from gatepost.smtp.scram import Verifier
from gatepost.smtp.server import ServerSession
from gatepost.smtp.state import State

TIMED_OUT: Final = Reply(421, "4.4.2", "Timed out")
TOO_SLOW: Final = Reply(421, "4.4.2", "Message arrives too slowly")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Shutting down, try again later")
_BACKLOG: Final = 64 * 1024  # octets taken from a client that should be waiting
_PROGRESS: Final = 4096  # octets of a message that count as a sign of life when we are full

_log = structlog.get_logger("gatepost.net")
_Args = TypeVarTuple("_Args")
_Answer = Reply | Sequence[Reply] | None


class Edge(asyncio.Protocol):
    """Drives one session; born by the listener, gone with the connection."""

    def __init__(
        self,
        application: Application,
        settings: EdgeSettings,
        roster: Roster,
        *,
        tls: ssl.SSLContext | None = None,
        authenticator: Authenticator | None = None,
        client: tuple[str, int] | None = None,
    ) -> None:
        """`client` is who a proxy said is behind the connection."""
        self._application, self._settings, self._roster = application, settings, roster
        self._tls, self._authenticator, self._client = tls, authenticator, client
        self._loop = asyncio.get_running_loop()
        self._deadline = Deadline(self._loop, self._expired)
        self._intake: Intake | None = None
        self._early = b""
        self._task: asyncio.Task[None] | None = None
        self._is_choked = self._is_paused = self._is_lost = False
        self._is_draining = self._is_overdue = self._is_trusted = self._is_ended = False
        self._lines_seen = self._octets = self._octets_seen = 0
        self._progress = self._loop.time()
        self._transaction_end = self._body_start = 0.0

    # ── the connection ───────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client, or turn it away."""
        self._transport = cast("asyncio.Transport", transport)
        address = self._client or transport.get_extra_info("peername") or ("", 0)
        connection = transport.get_extra_info("ssl_object")
        settings, tls = self._settings, describe(connection)
        self._info = SessionInfo(
            settings.listener,
            str(address[0]),
            int(address[1]),
            tls=tls,
            certificate=certificate_of(connection),
            is_lmtp=settings.server.lmtp,
        )
        self._is_trusted = settings.is_trusted(self._info.peer)
        self._session = ServerSession(
            settings.for_peer(self._info.peer, starttls=self._tls is not None),
            is_tls=tls is not None,
            entropy=secrets.token_bytes,
        )
        self._deadline.set(settings.command_timeout)
        refusal = self._roster.enter(self, self._info.peer, is_trusted=self._is_trusted)
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
        self._octets += len(data)
        self._session.receive(data)
        if self._task is None and not self._is_choked:
            self._drive()
            self._wait_for_client()
        elif self._session.backlog > _BACKLOG:
            self._pause()

    def eof_received(self) -> bool:
        """The client has said all; what is being decided is answered first, as Exim expects.

        It sends QUIT behind its message and closes its side.  Under TLS it waits for the reply,
        luckily: asyncio shuts TLS down as it reads the client's close, and drops what is said
        after that (bpo-44011's SSLProtocol; RFC 8446 section 6.1 would let us go on).
        """
        self._is_ended = True
        return self._task is not None and self._info.tls is None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; a message being decided is decided all the same."""
        del exc
        if self._is_lost:
            return
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

    @property
    def silent_since(self) -> float | None:
        """When the client last got somewhere; None while it waits for us, or is trusted."""
        return None if self._is_trusted or self._task is not None else self._progress

    @property
    def idle_since(self) -> float | None:
        """When the client last got somewhere; None in a transaction, or while it waits for us."""
        return None if self._task is not None or self._session.is_open else self._progress

    def evict(self, reply: Reply) -> None:
        """Leave now, with this word."""
        self._leave(reply)

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
                self._mail(event)
            case BodyStart():
                self._intake = Intake(application.sink, self._settings.memory_limit)
                self._body_start, self._octets = self._loop.time(), 0
                self._session.answer(replies.START)
            case EndOfData():
                self._end_of_data(event)
            case _:
                self._meet(event)

    def _meet(
        self, event: Hello | Forwarded | Reset | LookUp | Login | Substituted | StartTls | Quit
    ) -> None:
        """What a client says about itself."""
        match event:
            case StartTls():
                self._flush()
                self._pause()  # the client's handshake belongs to TLS
                self._task = self._loop.create_task(self._start_tls())
            case Hello() | Forwarded() | Reset():
                self._learn(event)
            case LookUp():
                self._work(self._supply(event.name))
            case Login():
                self._work(self._judge(event))
            case Substituted():
                self._substitute(event)
            case Quit():
                pass  # the session is closed, and `_flush` sees it
            case _:
                assert_never(event)

    def _mail(self, event: MailFrom) -> None:
        self._transaction_end = self._loop.time() + self._settings.transaction_timeout
        if self._is_trusted or self._roster.may_send(self._info.peer):
            self._ask(self._application.sender, self._info, event.envelope)
        else:
            self._session.answer(TOO_MANY_MESSAGES)

    def _learn(self, event: Hello | Forwarded | Reset) -> None:
        if self._intake is not None:  # a message begun by BDAT was thrown away
            self._intake.discard()
            self._intake = None
        if isinstance(event, Hello):
            self._info = replace(self._info, helo=event.name, is_extended=event.extended)
        forwarded = event.attributes if isinstance(event, Forwarded) else {}
        self._info = replace(self._info, forwarded=forwarded)

    def _substitute(self, event: Substituted) -> None:
        """A trusted proxy speaks for another client, which has its own rights, not the proxy's."""
        said, info = event.attributes, self._info
        port = said.get("PORT", "")
        self._info = replace(
            info,
            peer=said.get("ADDR", info.peer),
            port=int(port) if port.isdigit() and len(port) < 6 else 0,
            helo=said.get("HELO", ""),
            is_extended=False,
            forwarded={},
            authenticated_as=said.get("LOGIN", ""),
            certificate=None,
        )
        self._is_trusted = self._settings.is_trusted(self._info.peer)
        starttls = self._tls is not None and info.tls is None
        settings = self._settings.for_peer(self._info.peer, starttls=starttls)
        self._session.renew(settings, self._info.authenticated_as)
        self._ask(self._application.admit, self._info)

    def _end_of_data(self, event: EndOfData) -> None:
        intake, self._intake = self._intake, None
        if intake is None:  # a chunk of a message that failed before
            return
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
        if inspect.isawaitable(answer):
            self._work(answer)
        else:
            self._answer(answer)

    def _work(self, answer: Awaitable[_Answer]) -> None:
        """Wait for an answer; the client waits too."""
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
            self._wait_for_client(is_progress=True)

    def _answer(self, reply: _Answer) -> None:
        if self._session.state is State.OPENING:
            self._session.greet(reply if isinstance(reply, Reply) else None)
        elif self._session.is_waiting:
            try:
                self._session.answer(reply if reply is not None else TROUBLE)
            except ValueError as error:  # not as many replies as recipients
                self._session.answer(reply_for(error, "application"))

    # ── log-in ───────────────────────────────────────────────────────────────────────

    async def _supply(self, name: str) -> None:
        """Give the session what SCRAM needs."""
        self._session.supply(await self._verifier(name))

    async def _judge(self, login: Login) -> Reply:
        """Answer a log-in; a wrong password costs time, and too many of them the right to try."""
        if not self._roster.may_log_in(self._info.peer):
            return replies.AUTH_LATER
        if login.proven is None:
            verifier = await self._verifier(login.name)
            is_right = await asyncio.to_thread(verifier.accepts, login.password)
        else:
            is_right = login.proven
        if is_right:
            self._info = replace(self._info, authenticated_as=login.name)
            return replies.AUTHENTICATED
        self._roster.failed(self._info.peer)
        _log.warning(
            Name.SESSION_REFUSED,
            listener=self._info.listener,
            peer=self._info.peer,
            reply=str(replies.DENIED),
        )
        await asyncio.sleep(self._settings.login_delay)
        return replies.DENIED

    async def _verifier(self, name: str) -> Verifier:
        assert self._authenticator is not None
        found = self._authenticator.verifier(name)
        return await found if inspect.isawaitable(found) else found

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
        except (OSError, TimeoutError) as error:  # ssl.SSLError, too: nothing can be said in clear
            self._transport.abort()
            self.connection_lost(error)  # a reset amid the handshake asyncio tells nobody else
            return
        finally:
            self._task = None
        if transport is None or self._is_lost:
            return
        self._transport, self._is_paused = transport, False
        self._session.tls_started()
        self._session.receive(self._early)
        self._early = b""
        connection = transport.get_extra_info("ssl_object")
        self._info = replace(
            self._info,
            tls=describe(connection),
            certificate=certificate_of(connection),
            helo="",
            is_extended=False,
            forwarded={},
            authenticated_as="",
        )
        self._drive()
        self._wait_for_client(is_progress=True)

    def _wait_for_client(self, *, is_progress: bool = False) -> None:
        """Start the client's time anew, unless it is waiting for us.

        Half a command is no progress, and no message takes for ever: a client that drips
        octets gains nothing by it.
        """
        if self._task is not None or self._is_lost or self._session.is_closed:
            return
        now, session, settings = self._loop.time(), self._session, self._settings
        patience = settings.command_timeout
        if session.is_receiving:
            patience = settings.data_timeout
            if self._octets - self._octets_seen >= _PROGRESS:
                self._progress, self._octets_seen = now, self._octets
            if self._crawls(now):
                self._leave(TOO_SLOW)
                return
        elif is_progress or session.commands != self._lines_seen:
            self._lines_seen, self._progress = session.commands, now
        else:
            return
        if session.is_open:
            patience = min(patience, self._transaction_end - now)
        self._deadline.set(max(patience, 0.0))

    def _crawls(self, now: float) -> bool:
        settings, taken = self._settings, now - self._body_start
        return (
            self._session.is_open
            and taken > settings.rate_grace
            and self._octets < taken * settings.minimum_rate
        )

    def _leave(self, reply: Reply) -> None:
        self._session.close(reply)
        self._flush()

    def _expired(self) -> None:
        if self._task is not None:
            self._is_overdue = True
            self._task.cancel()
        elif self._is_choked or self._transport.is_closing():
            self._transport.abort()  # it will not read our farewell either
        else:
            self._leave(TIMED_OUT)

    def _flush(self) -> None:
        octets = self._session.data_to_send()
        if octets and not self._is_lost:
            self._transport.write(octets)
        is_over = self._session.is_closed or (self._is_ended and self._task is None)
        if is_over and not self._is_lost:
            self._transport.close()

    def _pause(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()
