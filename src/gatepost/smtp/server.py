"""A server's side of one SMTP connection, without the connection (RFC 5321).

Octets go in by `receive`, events come out by `next_event`, what to write by
`data_to_send`.  An event that asks something holds everything behind it back until
`answer`: replies leave in the order of the commands (RFC 2920 section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Final

from gatepost.mail.reply import Reply
from gatepost.smtp import commands, extensions, replies
from gatepost.smtp.commands import LineReader
from gatepost.smtp.events import (
    NEED_DATA,
    PAUSED,
    BodyChunk,
    BodyStart,
    EndOfData,
    Event,
    Forwarded,
    Hello,
    MailFrom,
    Next,
    Quit,
    RcptTo,
    Reset,
    StartTls,
)
from gatepost.smtp.replies import Fault
from gatepost.smtp.settings import ServerSettings
from gatepost.smtp.state import OUT_OF_ORDER, TRANSITIONS, State, Verb, is_open
from gatepost.smtp.transaction import Transaction

_DEAF: Final = frozenset({State.OPENING, State.HANDSHAKE, State.CLOSED})
# RFC 3207 section 4: what a server that insists on TLS still answers without it.
_BEFORE_TLS: Final = frozenset({Verb.EHLO, Verb.NOOP, Verb.STARTTLS, Verb.QUIT})
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_ENDING: Final = frozenset({421, 521})  # replies after which the connection closes


class ServerSession:
    """One session; its owner greets, answers, and does the TLS handshake."""

    def __init__(self, settings: ServerSettings, *, is_tls: bool = False) -> None:
        self._settings = settings
        self._is_tls = is_tls
        self._buffer, self._at = b"", 0
        self._out: list[bytes] = []
        self._lines = LineReader(settings.line_limit)
        self._pending: MailFrom | RcptTo | BodyStart | EndOfData | None = None
        self._transaction: Transaction | None = None
        self._is_ended = False
        self._errors = 0
        self.state = State.OPENING
        self.helo = ""
        self.is_extended = False
        self.forwarded: Mapping[str, str] = _NOTHING

    # ── for the owner ────────────────────────────────────────────────────────────────

    @property
    def is_open(self) -> bool:
        """Whether a mail transaction is under way."""
        return self._pending is not None or is_open(self.state)

    @property
    def is_closed(self) -> bool:
        """Whether the last reply was given: send it, then close the connection."""
        return self.state is State.CLOSED

    @property
    def backlog(self) -> int:
        """How many received octets wait to be looked at."""
        return len(self._buffer) - self._at

    def greet(self, reply: Reply | None = None) -> None:
        """Send the greeting, or refuse the client by a negative reply."""
        if self.state is not State.OPENING:
            raise RuntimeError("the greeting was sent already")
        text = f"{self._settings.hostname} {self._settings.banner}"
        reply = reply or Reply(220, "", text)
        self._say(reply)
        self.state = State.GREETED if reply.is_positive else State.CLOSED

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

    def next_event(self) -> Next:
        """The next thing that happened; NEED_DATA or PAUSED when nothing can."""
        while True:
            if self._pending is not None or self.state in _DEAF:
                return PAUSED
            if self.state is State.BODY:
                return self._body()
            line, self._at = self._lines.read(self._buffer, self._at)
            if line is None:
                return NEED_DATA
            event = self._command(line)
            if event is not None:
                return event

    def answer(self, reply: Reply) -> None:
        """Answer the pending event; a positive answer moves the session on."""
        pending, self._pending = self._pending, None
        if pending is None:
            raise RuntimeError("nothing waits for an answer")
        if reply.code in _ENDING:
            self.close(reply)
            return
        self._say(reply)
        match pending:
            case MailFrom(envelope=envelope):
                if reply.is_positive:
                    self._transaction = Transaction(envelope)
                    self.state = State.TRANSACTION
            case RcptTo(recipient=recipient):
                if reply.is_positive and self._transaction is not None:
                    self._transaction.accept(recipient)
                    self.state = State.ADDRESSED
            case BodyStart():
                if reply.code == 354 and self._transaction is not None:
                    self._transaction.receive(self._settings.size_limit, self._settings.bare)
                    self.state = State.BODY
            case EndOfData():
                self._errors = 0 if reply.is_positive else self._errors
                self._forget()

    def tls_started(self) -> None:
        """The handshake is done: the client is a stranger again (RFC 3207 section 4.2)."""
        if self.state is not State.HANDSHAKE:
            raise RuntimeError("no STARTTLS was granted")
        self._is_tls, self.state = True, State.GREETED
        self.helo, self.is_extended = "", False

    def close(self, reply: Reply) -> None:
        """Say a last reply (421: time-out, shutdown) and be done with this client."""
        if self.state is not State.CLOSED:
            self._say(reply)
            self.state = State.CLOSED
            self._buffer, self._at, self._pending, self._transaction = b"", 0, None, None

    def data_to_send(self) -> bytes:
        """Every octet said since the last call."""
        if not self._out:
            return b""
        out, self._out = b"".join(self._out), []
        return out

    # ── commands ─────────────────────────────────────────────────────────────────────

    def _command(self, line: bytes) -> Event | None:
        try:
            return self._obey(*commands.split(line, self._settings.line_limit))
        except Fault as fault:
            self._refuse(fault.answer)
            return None

    def _obey(self, verb: Verb, argument: str) -> Event | None:
        if self._settings.require_tls and not self._is_tls and verb not in _BEFORE_TLS:
            raise Fault(replies.TLS_REQUIRED)
        if verb not in TRANSITIONS[self.state]:
            raise Fault(OUT_OF_ORDER[self.state][verb])
        return self._COMMANDS[verb](self, argument)

    def _refuse(self, reply: Reply) -> None:
        """Say what was wrong; a client that is wrong too often is sent away."""
        self._errors += 1
        if reply.code in _ENDING:
            self.close(reply)
            return
        self._say(reply)
        if self._errors >= self._settings.error_limit:
            self.close(replies.TOO_MANY_ERRORS)

    def _ehlo(self, argument: str) -> Event:
        self._introduce(commands.hello(argument), extended=True)
        lines = (f"{self._settings.hostname} greets {self.helo}", *self._offered())
        self._say(Reply(250, "", "\n".join(lines)))
        return Hello(self.helo, extended=True)

    def _helo(self, argument: str) -> Event:
        self._introduce(commands.hello(argument), extended=False)
        self._say(Reply(250, "", self._settings.hostname))
        return Hello(self.helo, extended=False)

    def _introduce(self, name: str, *, extended: bool) -> None:
        """RFC 5321 section 4.1.4: EHLO clears all buffers exactly as RSET does."""
        self._forget()
        self.helo, self.is_extended, self.state = name, extended, State.READY

    def _offered(self) -> tuple[str, ...]:
        return extensions.offered(
            size_limit=self._settings.size_limit,
            starttls=self._settings.starttls and not self._is_tls,
            smtputf8=self._settings.smtputf8,
            forward=self._settings.forward,
        )

    def _mail(self, argument: str) -> Event:
        envelope, size = commands.mail(argument, smtputf8=self._settings.smtputf8)
        if size is not None and size > self._settings.size_limit:
            raise Fault(replies.TOO_BIG)  # RFC 1870 section 6.1
        self._pending = MailFrom(envelope, size)
        return self._pending

    def _rcpt(self, argument: str) -> Event | None:
        transaction = self._transaction
        assert transaction is not None
        recipient = commands.rcpt(
            argument,
            smtputf8=transaction.envelope.smtputf8,
            postmaster_domain=self._settings.hostname,
        )
        if transaction.recipients >= self._settings.recipient_limit:
            self._say(replies.TOO_MANY_RECIPIENTS)  # RFC 5321 section 4.5.3.1.10
            return None
        self._pending = RcptTo(transaction.envelope, recipient)
        return self._pending

    def _data(self, _: str) -> Event:
        assert self._transaction is not None
        self._pending = BodyStart(self._transaction.envelope)
        return self._pending

    def _rset(self, _: str) -> Event | None:
        was_open = self._transaction is not None
        self._forget()
        self._say(replies.OK)
        return Reset() if was_open else None

    def _noop(self, _: str) -> None:
        self._say(replies.OK)

    def _vrfy(self, _: str) -> None:
        self._say(replies.CANNOT_VERIFY)

    def _help(self, _: str) -> None:
        self._say(replies.HELP)

    def _quit(self, _: str) -> Event:
        self.close(replies.BYE)
        return Quit()

    def _starttls(self, _: str) -> Event:
        if self._is_tls:
            raise Fault(replies.TLS_ALREADY)
        if not self._settings.starttls:
            raise Fault(replies.NOT_IMPLEMENTED)
        self._forget()
        self._say(replies.TLS_GO)
        self._buffer, self._at = b"", 0  # clear text behind STARTTLS: see `receive`
        self.state = State.HANDSHAKE
        return StartTls()

    def _xforward(self, argument: str) -> Event:
        if not self._settings.forward:
            raise Fault(replies.FORWARD_DENIED)
        self.forwarded = {**self.forwarded, **extensions.forwarded(argument)}
        self._say(replies.OK)
        return Forwarded(self.forwarded)

    _COMMANDS: ClassVar[dict[Verb, Callable[[ServerSession, str], Event | None]]] = {
        Verb.EHLO: _ehlo,
        Verb.HELO: _helo,
        Verb.STARTTLS: _starttls,
        Verb.XFORWARD: _xforward,
        Verb.MAIL: _mail,
        Verb.RCPT: _rcpt,
        Verb.DATA: _data,
        Verb.RSET: _rset,
        Verb.NOOP: _noop,
        Verb.VRFY: _vrfy,
        Verb.HELP: _help,
        Verb.QUIT: _quit,
    }

    # ── data ─────────────────────────────────────────────────────────────────────────

    def _body(self) -> Next:
        transaction = self._transaction
        assert transaction is not None
        assert transaction.reader is not None
        if not self._is_ended:
            octets, self._at, self._is_ended = transaction.reader.read(self._buffer, self._at)
            if octets:
                return BodyChunk(octets)
            if not self._is_ended:
                return NEED_DATA
        self._is_ended = False
        event = EndOfData(transaction.envelope, transaction.reader.size, transaction.reader.fault)
        if event.fault is None:
            self._pending = event
        else:
            self._say(event.fault)
        self._forget()
        return event

    def _forget(self) -> None:
        """No transaction is under way; what XFORWARD said held for one only."""
        self._transaction, self.forwarded = None, _NOTHING
        self.state = State.READY if self.helo else State.GREETED

    def _say(self, reply: Reply) -> None:
        self._out.append(_encoded(reply))


@lru_cache(maxsize=256)
def _encoded(reply: Reply) -> bytes:
    """A reply's octets, safe whatever text the owner took into it (section 4.2)."""
    lines = []
    for line in reply.text.split("\n"):
        clean = "".join(c if " " <= c <= "~" else "?" for c in line.strip())
        lines.append(clean[:480])  # section 4.5.3.1.5: 512 octets with code and CRLF
    return Reply(reply.code, reply.status, "\n".join(lines)).encode()
