"""A server's side of one SMTP connection, without the connection (RFC 5321).

Octets go in by `receive`, events come out by `next_event`, what to write by
`data_to_send`.  An event that asks something holds everything behind it back until
`answer`: replies leave in the order of the commands (RFC 2920 section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from gatepost.mail.reply import Reply
from gatepost.smtp import authentication, commands, extensions, replies, sasl
from gatepost.smtp.authentication import Authentication
from gatepost.smtp.commands import LineReader
from gatepost.smtp.conversation import ENDING, Conversation
from gatepost.smtp.events import (
    NEED_DATA,
    PAUSED,
    BodyChunk,
    BodyStart,
    EndOfData,
    Event,
    Forwarded,
    Hello,
    Login,
    LookUp,
    MailFrom,
    Next,
    Quit,
    RcptTo,
    Reset,
    StartTls,
    Substituted,
)
from gatepost.smtp.replies import Fault
from gatepost.smtp.scram import Verifier
from gatepost.smtp.settings import ServerSettings
from gatepost.smtp.state import OUT_OF_ORDER, TRANSITIONS, State, Verb
from gatepost.smtp.transaction import Chunk, Transaction

_DEAF: Final = frozenset({State.OPENING, State.HANDSHAKE, State.CLOSED})
# RFC 3207 section 4: what a server that insists on TLS still answers without it.
_BEFORE_TLS: Final = frozenset({Verb.EHLO, Verb.LHLO, Verb.NOOP, Verb.STARTTLS, Verb.QUIT})
_HELLO: Final = frozenset({Verb.EHLO, Verb.HELO, Verb.LHLO})
# What a client may say again and again without getting anywhere.
_IDLE: Final = frozenset(
    {Verb.EHLO, Verb.HELO, Verb.LHLO, Verb.NOOP, Verb.RSET, Verb.VRFY, Verb.HELP, Verb.XFORWARD}
)
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


class ServerSession(Conversation):
    """One session; its owner greets, answers, and does the TLS handshake."""

    def __init__(
        self,
        settings: ServerSettings,
        *,
        is_tls: bool = False,
        entropy: sasl.Entropy | None = None,
    ) -> None:
        if "SCRAM-SHA-256" in settings.mechanisms and entropy is None:
            raise ValueError("SCRAM needs entropy")
        super().__init__(settings)
        self._is_tls, self._entropy = is_tls, entropy or bytes
        self._lines = LineReader(settings.line_limit)
        self._responses = LineReader(sasl.LINE_LIMIT)
        self._pending: MailFrom | RcptTo | BodyStart | EndOfData | LookUp | Login | None = None
        self._login: Authentication | None = None
        self._is_ended = False
        self._failed_logins = self._idle = 0
        self.commands = 0  # how many lines were read: a client that sends none makes no progress
        self.helo = self.identity = ""  # what the client calls itself; whom it proved to be
        self.is_extended = False
        self.forwarded: Mapping[str, str] = _NOTHING

    # ── for the owner ────────────────────────────────────────────────────────────────

    @property
    def is_open(self) -> bool:
        """Whether a mail transaction is under way."""
        return super().is_open or isinstance(
            self._pending, MailFrom | RcptTo | BodyStart | EndOfData
        )

    @property
    def is_waiting(self) -> bool:
        """Whether an event waits for an answer."""
        return self._pending is not None

    @property
    def is_receiving(self) -> bool:
        """Whether octets of a message are due, not commands."""
        return self._chunk is not None or self.state is State.BODY

    def greet(self, reply: Reply | None = None) -> None:
        """Send the greeting, or refuse the client by a negative reply."""
        if self.state is not State.OPENING:
            raise RuntimeError("the greeting was sent already")
        text = f"{self._settings.hostname} {self._settings.banner}"
        reply = reply or Reply(220, "", text)
        self._say(reply)
        self.state = State.GREETED if reply.is_positive else State.CLOSED

    def next_event(self) -> Next:
        """The next thing that happened; NEED_DATA or PAUSED when nothing can."""
        while True:
            if self._pending is not None or self.state in _DEAF:
                return PAUSED
            if self.state is State.BODY:
                return self._body()
            event = self._line() if self._chunk is None else self._octets(self._chunk)
            if event is not None:
                return event

    def answer(self, reply: Reply | Sequence[Reply]) -> None:
        """Answer the pending event; a positive answer moves the session on.

        The end of data in LMTP may be answered by a reply for each recipient.
        """
        pending = self._pending
        if pending is None:
            raise RuntimeError("nothing waits for an answer")
        said = self._due(pending, reply)
        self._pending = None
        if isinstance(pending, EndOfData):
            self._settle(said)
        elif said[0].code in ENDING:
            self.close(said[0])
        else:
            self._move(pending, said[0])

    def _due(self, pending: Event, reply: Reply | Sequence[Reply]) -> list[Reply]:
        """As many replies as are due (RFC 2033 section 4.2)."""
        is_each = self._settings.lmtp and isinstance(pending, EndOfData)
        count = self._transaction.recipients if is_each and self._transaction else 1
        said = [reply] * count if isinstance(reply, Reply) else list(reply)
        if len(said) != count:
            raise ValueError(f"{count} replies are due, not {len(said)}")
        return said

    def _move(self, pending: MailFrom | RcptTo | BodyStart | LookUp | Login, reply: Reply) -> None:
        if not (isinstance(pending, BodyStart) and pending.chunked):
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
                self._begin(reply, chunked=pending.chunked)
            case LookUp():  # no verifier to be had
                self._login, self.state = None, State.READY
            case Login():
                self._logged_in(pending, reply)

    def _begin(self, reply: Reply, *, chunked: bool) -> None:
        """The owner lets the content come, or not."""
        transaction, settings = self._transaction, self._settings
        assert transaction is not None
        if reply.code == 354 and chunked:
            transaction.receive_chunks(settings.size_limit, settings.bare)
            self.state = State.CHUNK
        elif reply.code == 354:
            transaction.receive(settings.size_limit, settings.bare)
            self.state = State.BODY
        elif self._chunk is not None:
            self._chunk.refusal, transaction.is_spoiled = reply, True
            self.state = State.CHUNKED

    def _settle(self, said: list[Reply]) -> None:
        """Say what became of the message."""
        for one in said:
            self._say(one)
        if any(one.is_positive for one in said):
            self._errors = self._idle = 0
        self._forget()
        if any(one.code in ENDING for one in said):
            self._end()

    def supply(self, verifier: Verifier) -> None:
        """Give the verifier a `LookUp` asked for; a decoy where there is none."""
        pending, self._pending = self._pending, None
        if not isinstance(pending, LookUp) or self._login is None:
            raise RuntimeError("nobody asked for a verifier")
        self._proceed(self._login.exchange.supply(verifier))

    def renew(self, settings: ServerSettings, identity: str = "") -> None:
        """After `Substituted`: another client, perhaps with other rights; then `greet`."""
        if self.state is not State.OPENING:
            raise RuntimeError("nobody was substituted")
        self._settings, self.identity = settings, identity

    def tls_started(self) -> None:
        """The handshake is done: the client is a stranger again (RFC 3207 section 4.2)."""
        if self.state is not State.HANDSHAKE:
            raise RuntimeError("no STARTTLS was granted")
        self._is_tls, self.state = True, State.GREETED
        self.helo, self.identity, self.is_extended = "", "", False

    def _end(self) -> None:
        super()._end()
        self._pending = self._login = None

    # ── commands ─────────────────────────────────────────────────────────────────────

    def _line(self) -> Next | None:
        """The next command, or the next response of AUTH."""
        in_auth = self.state is State.AUTHENTICATING
        lines = self._responses if in_auth else self._lines
        line, self._at = lines.read(self._buffer, self._at)
        if line is None:
            return NEED_DATA
        self.commands += 1
        try:
            return self._response(line) if in_auth else self._command(line)
        except Fault as fault:
            self._refuse(fault.answer)
            return None

    def _command(self, line: bytes) -> Event | None:
        verb, argument = commands.split(line, self._settings.line_limit)
        if verb is not Verb.BDAT:
            return self._obey(verb, argument)
        size, is_last = commands.chunk(argument)
        self._chunk = Chunk(size, is_last)
        try:
            return self._obey(verb, argument)
        except Fault as fault:
            # RFC 3030 section 2: also what is refused "MUST accept and discard the associated
            # message data" first, else it would be read as commands.
            self._chunk.refusal = fault.answer
            return None

    def _obey(self, verb: Verb, argument: str) -> Event | None:
        if self._settings.require_tls and not self._is_tls and verb not in _BEFORE_TLS:
            raise Fault(replies.TLS_REQUIRED)
        if verb in _HELLO and (verb is Verb.LHLO) is not self._settings.lmtp:
            raise Fault(replies.SAY_LHLO if self._settings.lmtp else replies.UNKNOWN)
        if verb not in TRANSITIONS[self.state]:
            raise Fault(self._out_of_order(verb))
        if verb in _IDLE:
            self._idle += 1
            if self._idle > self._settings.idle_limit:
                raise Fault(replies.TOO_IDLE)
        return self._COMMANDS[verb](self, argument)

    def _out_of_order(self, verb: Verb) -> Reply:
        reply = OUT_OF_ORDER[self.state][verb]
        # RFC 2033 section 4.2: in LMTP 503 when nobody was accepted.
        return replies.NOBODY if self._settings.lmtp and reply.code == 554 else reply

    def _ehlo(self, argument: str) -> Event:
        self._introduce(commands.hello(argument), extended=True)
        offered = extensions.offered(self._settings, is_tls=self._is_tls)
        lines = (f"{self._settings.hostname} greets {self.helo}", *offered)
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

    def _mail(self, argument: str) -> Event:
        settings = self._settings
        envelope, size = commands.mail(
            argument,
            smtputf8=settings.smtputf8,
            requiretls=self._is_tls,
            auth=bool(settings.mechanisms),
        )
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
            postmaster_domain=self._settings.postmaster_domain or self._settings.hostname,
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

    def _bdat(self, _: str) -> Event | None:
        transaction = self._transaction
        assert transaction is not None
        if transaction.is_spoiled:
            raise Fault(replies.SPOILED)
        if transaction.chunks is None:
            self._pending = BodyStart(transaction.envelope, chunked=True)
            return self._pending
        self.state = State.CHUNK
        return None

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

    def _xclient(self, argument: str) -> Event:
        if not self._settings.substitute:
            raise Fault(replies.CLIENT_DENIED)
        event = Substituted(extensions.substituted(argument))
        self._forget()
        self.helo, self.identity, self.is_extended = "", "", False
        self.state = State.OPENING
        return event

    def _auth(self, argument: str) -> Event | None:
        """RFC 4954 section 4."""
        settings = self._settings
        refusal = authentication.refusal(settings, self.identity, is_tls=self._is_tls)
        if refusal is not None:
            raise Fault(refusal)
        self._login = Authentication(argument, settings, self._entropy)
        move = self._login.begin()
        self.state = State.AUTHENTICATING
        return self._proceed(move)

    _COMMANDS: ClassVar[dict[Verb, Callable[[ServerSession, str], Event | None]]] = {
        Verb.EHLO: _ehlo,
        Verb.HELO: _helo,
        Verb.LHLO: _ehlo,
        Verb.STARTTLS: _starttls,
        Verb.XFORWARD: _xforward,
        Verb.XCLIENT: _xclient,
        Verb.AUTH: _auth,
        Verb.MAIL: _mail,
        Verb.RCPT: _rcpt,
        Verb.DATA: _data,
        Verb.BDAT: _bdat,
        Verb.RSET: _rset,
        Verb.NOOP: _noop,
        Verb.VRFY: _vrfy,
        Verb.HELP: _help,
        Verb.QUIT: _quit,
    }

    # ── log-in ───────────────────────────────────────────────────────────────────────

    def _response(self, line: bytes) -> Event | None:
        assert self._login is not None
        try:
            return self._proceed(self._login.respond(line))
        except Fault:
            self._login, self.state = None, State.READY
            raise

    def _proceed(self, move: sasl.Move) -> LookUp | Login | None:
        match move:
            case sasl.Ask(challenge=challenge):
                self._out.append(f"334 {sasl.encoded(challenge)}\r\n".encode("ascii"))
                return None
            case sasl.Find(name=name):
                self._pending = look_up = LookUp(name)
                return look_up
            case sasl.Claim():
                self._pending = login = Login(move.name, move.password, move.proven)
                return login

    def _logged_in(self, login: Login, reply: Reply) -> None:
        self._login, self.state = None, State.READY
        if reply.code == 235:
            self.identity = login.name
            return
        self._failed_logins += 1
        if self._failed_logins >= self._settings.login_limit:
            self.close(replies.TOO_MANY_LOGINS)

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
        return self._ended(transaction.reader.size, transaction.reader.fault)

    def _octets(self, chunk: Chunk) -> Next | None:
        """Octets of a BDAT chunk; those of a refused one are thrown away."""
        octets = self._buffer[self._at : self._at + chunk.left]
        self._at += len(octets)
        chunk.left -= len(octets)
        if chunk.refusal is None and self._transaction is not None:
            taken = self._transaction.take(chunk, octets)
            if taken:
                return BodyChunk(taken)
        if chunk.left:
            return NEED_DATA
        self._chunk = None
        if chunk.refusal is not None:
            self._discarded(chunk, chunk.refusal)
            return None
        return self._chunk_ended(chunk)

    def _discarded(self, chunk: Chunk, refusal: Reply) -> None:
        """A refused chunk is gone; of a failed transaction more may come, and that is no crime."""
        if self._transaction is None or not self._transaction.is_spoiled:
            self._refuse(refusal)
        elif chunk.is_last:
            self._say_to_all(refusal, self._transaction.recipients)
            self._forget()
        else:
            self._say(refusal)

    def _chunk_ended(self, chunk: Chunk) -> Event | None:
        transaction = self._transaction
        assert transaction is not None
        assert transaction.chunks is not None
        size, fault = transaction.chunks.size, transaction.chunks.fault
        if chunk.is_last:
            return self._ended(size, fault)
        self.state = State.CHUNKED
        if fault is None:
            self._say(Reply(250, "2.0.0", f"{size} octets so far"))
            return None
        transaction.is_spoiled = True
        self._say(fault)
        return EndOfData(transaction.envelope, size, fault)

    def _ended(self, size: int, fault: Reply | None) -> EndOfData:
        """The message is whole: judge it, or let the owner."""
        assert self._transaction is not None
        event = EndOfData(self._transaction.envelope, size, fault)
        if fault is None:
            self._pending = event
        else:
            self._say_to_all(fault, self._transaction.recipients)
            self._forget()
        return event

    def _forget(self) -> None:
        """No transaction is under way; what XFORWARD said held for one only."""
        self._transaction, self.forwarded = None, _NOTHING
        self.state = State.READY if self.helo else State.GREETED
