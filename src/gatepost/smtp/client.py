"""A client's side of one SMTP or LMTP connection, without the connection (RFC 5321, 2033).

The session introduces itself as soon as it is greeted.  `begin` sends MAIL, every RCPT
and DATA in one flight when the server offers PIPELINING (RFC 2920); the body follows 354,
or under CHUNKING the last RCPT's reply.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from gatepost.errors import Malformed
from gatepost.mail.reply import Reply
from gatepost.smtp.answers import ReplyReader
from gatepost.smtp.data import ChunkWriter, DataWriter
from gatepost.smtp.events import NEED_DATA, Signal
from gatepost.smtp.extensions import parse_offer
from gatepost.smtp.sasl import Proof
from gatepost.smtp.settings import ClientSettings
from gatepost.smtp.submission import Job, Results, Submission


@dataclass(frozen=True, slots=True)
class Ready:
    """The server knows us and awaits commands; `extensions` is what it offered."""

    extended: bool


@dataclass(frozen=True, slots=True)
class Unwilling:
    """The server refused us by its greeting, to EHLO/HELO, or said 421 between transactions."""

    reply: Reply
    is_greeting: bool = False


@dataclass(frozen=True, slots=True)
class TlsAnswer:
    """The reply to STARTTLS; after a positive one do the handshake, then `tls_started`."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class AuthAnswer:
    """How logging in ended; after a refusal the session is idle as before."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class SendBody:
    """354 came, or chunks may: `write` the content, then `finish`."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The transaction is over; one reply for each recipient."""

    results: Results


ClientEvent = Ready | Unwilling | TlsAnswer | AuthAnswer | SendBody | Settled
NextClientEvent = ClientEvent | Literal[Signal.NEED_DATA]


class Step(Enum):
    """A command whose reply is awaited."""

    GREETING = "greeting"
    EHLO = "EHLO"
    HELO = "HELO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    XFORWARD = "XFORWARD"
    RSET = "RSET"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CHUNK = "chunk"
    END = "end of data"
    QUIT = "QUIT"


_ABANDONED: Final = Reply(451, "4.4.2", "Transaction was not finished")


class ClientSession:
    """One session; its owner moves octets and does the TLS handshake."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._reader = ReplyReader(settings.reply_line_limit, settings.reply_lines_limit)
        self._out: list[bytes] = []
        self._awaited: deque[tuple[Step, int]] = deque([(Step.GREETING, 0)])
        self._unsent: deque[tuple[bytes, Step, int]] = deque()
        self._submission: Submission | None = None
        self._settled: Settled | None = None
        self._writer: DataWriter | ChunkWriter | None = None
        self._proof: Proof | None = None
        self._is_dirty = False  # a transaction may be open at the server: RSET first
        self.extensions: dict[str, str] = {}
        self.server = ""  # what it calls itself in its reply to EHLO
        self.is_closed = False  # no further command may be sent
        self.is_begun = False  # MAIL of the latest transaction got a positive reply

    # ── for the owner ────────────────────────────────────────────────────────────────

    @property
    def is_idle(self) -> bool:
        """Whether a transaction can begin."""
        return not (self.is_closed or self._awaited or self._unsent or self._submission)

    def receive(self, data: bytes) -> None:
        """Take octets from the server."""
        self._reader.receive(data)

    def data_to_send(self) -> bytes:
        """Every octet to write since the last call."""
        out, self._out = b"".join(self._out), []
        return out

    def next_event(self) -> NextClientEvent:
        """The next thing that happened; raises Malformed when the server talks nonsense."""
        while True:
            if self._settled is not None:
                event, self._settled = self._settled, None
                return event
            reply = self._reader.next_reply()
            if reply is None:
                return NEED_DATA
            answer = self._take(reply)
            if answer is not None:
                return answer

    def begin(self, job: Job) -> None:
        """Open a transaction; ends in `Settled`, after `SendBody` if anyone was accepted."""
        if not self.is_idle:
            raise RuntimeError("the session is not between transactions")
        submission, self.is_begun = Submission(job, self.extensions), False
        if not submission.asked:
            self._settled = Settled(submission.results(_ABANDONED))
            return
        self._submission = submission
        if self._is_dirty:
            self._unsent.append((b"RSET\r\n", Step.RSET, 0))
        xforward = submission.xforward()
        self._unsent.extend((line, Step.XFORWARD, 0) for line in xforward.splitlines(keepends=True))
        self._unsent.append((submission.mail(), Step.MAIL, 0))
        self._unsent.extend((submission.rcpt(i), Step.RCPT, i) for i in submission.asked)
        if not submission.is_chunked:
            self._unsent.append((b"DATA\r\n", Step.DATA, 0))
        self._is_dirty = True
        self._send_next()

    def write(self, octets: bytes) -> None:
        """Send content octets; raises Malformed on a bare CR or LF (close the connection)."""
        assert self._writer is not None
        out = self._writer.write(octets)
        if isinstance(self._writer, ChunkWriter) and out:
            self._send(out, Step.CHUNK)
        else:
            self._out.append(out)

    def finish(self) -> None:
        """Send the end of data."""
        assert self._writer is not None
        assert self._submission is not None
        self._out.append(self._writer.finish())
        self._writer = None
        # RFC 2033 section 4.2: LMTP answers for each accepted recipient.
        accepted = self._submission.accepted if self._settings.lmtp else (0,)
        self._awaited.extend((Step.END, index) for index in accepted)

    def abandon(self, reply: Reply) -> Results:
        """The connection is lost: the results so far, `reply` for whoever has none."""
        self.is_closed = True
        submission, self._submission = self._submission, None
        return submission.results(reply) if submission is not None else ()

    def starttls(self) -> None:
        """Ask for TLS; ends in `TlsAnswer`."""
        self._send(b"STARTTLS\r\n", Step.STARTTLS)

    def authenticate(self, proof: Proof) -> None:
        """Log in; ends in `AuthAnswer`."""
        self._proof = proof
        self._send(f"AUTH {proof.begin()}\r\n".encode("ascii"), Step.AUTH)

    def tls_started(self) -> None:
        """The handshake is done: introduce ourselves anew (RFC 3207 section 4.2)."""
        self.extensions = {}
        self._hello()

    def quit(self) -> None:
        """Say QUIT; nothing more may be sent."""
        self._send(b"QUIT\r\n", Step.QUIT)
        self.is_closed = True

    # ── sending ──────────────────────────────────────────────────────────────────────

    def _send(self, octets: bytes, step: Step, index: int = 0) -> None:
        self._out.append(octets)
        self._awaited.append((step, index))

    def _send_next(self) -> None:
        """The whole flight under PIPELINING (RFC 2920 section 3.1), else one command."""
        while self._unsent and ("PIPELINING" in self.extensions or not self._awaited):
            self._send(*self._unsent.popleft())

    def _hello(self) -> None:
        word = "LHLO" if self._settings.lmtp else "EHLO"
        self._send(f"{word} {self._settings.helo}\r\n".encode("ascii"), Step.EHLO)

    # ── replies ──────────────────────────────────────────────────────────────────────

    def _take(self, reply: Reply) -> ClientEvent | None:
        if not self._awaited:
            return self._unasked(reply)
        step, index = self._awaited.popleft()
        if reply.code == 421 or self.is_closed:
            return self._shut(reply)
        if reply.code // 100 == 3 and step not in (Step.DATA, Step.AUTH):
            # A 3yz is positive, yet it accepts nothing (RFC 5321 section 4.2.1).
            raise Malformed("the server sent an intermediate reply where none belongs")
        match step:
            case Step.GREETING:
                return self._greeted(reply)
            case Step.EHLO | Step.HELO:
                return self._introduced(step, reply)
            case Step.STARTTLS:
                return self._tls(reply)
            case Step.AUTH:
                return self._auth(reply)
            case Step.RSET | Step.QUIT | Step.XFORWARD:
                event = None  # whose mail it was is a courtesy: a refusal changes nothing
            case Step.MAIL | Step.RCPT | Step.DATA | Step.CHUNK | Step.END:
                event = self._progress(step, index, reply)
        self._send_next()
        return event

    def _unasked(self, reply: Reply) -> ClientEvent:
        """A reply to no command: a refusal in mid-body, a farewell, or nonsense."""
        if reply.is_positive:
            raise Malformed("the server sent a reply nobody asked for")
        return self._shut(reply)

    def _shut(self, reply: Reply) -> ClientEvent:
        """RFC 5321 section 3.8: after 421 the server closes; so do we."""
        self.is_closed = True
        self._awaited.clear()
        self._unsent.clear()
        if self._submission is None:
            return Unwilling(reply)
        return self._settle(reply)

    def _greeted(self, reply: Reply) -> ClientEvent | None:
        if reply.code != 220:
            self.is_closed = True
            return Unwilling(reply, is_greeting=True)
        self._hello()
        return None

    def _introduced(self, step: Step, reply: Reply) -> ClientEvent | None:
        if reply.is_positive:
            self.server = (reply.text.split() or [""])[0].lower()
            if step is Step.EHLO:
                self.extensions = parse_offer(tuple(reply.text.split("\n")[1:]))
            return Ready(extended=step is Step.EHLO)
        if step is Step.EHLO and reply.is_permanent and not self._settings.lmtp:
            # RFC 5321 section 3.2: a server without EHLO is spoken to with HELO.
            self._send(f"HELO {self._settings.helo}\r\n".encode("ascii"), Step.HELO)
            return None
        self.is_closed = True
        return Unwilling(reply)

    def _tls(self, reply: Reply) -> ClientEvent:
        if reply.code == 220 and not self._reader.is_empty:
            # RFC 3207 section 6: what came in clear behind the 220 may be injected.
            raise Malformed("the server sent clear text behind its answer to STARTTLS")
        return TlsAnswer(reply)

    def _auth(self, reply: Reply) -> ClientEvent | None:
        """RFC 4954 section 4: 334 asks for more, 235 ends well."""
        assert self._proof is not None
        if reply.code == 334:
            self._send(self._proof.respond(reply.text) + b"\r\n", Step.AUTH)
            return None
        if reply.is_positive and not self._proof.is_assured:
            raise Malformed("the server did not prove that it knows the password")
        self._proof = None
        return AuthAnswer(reply)

    def _progress(self, step: Step, index: int, reply: Reply) -> ClientEvent | None:
        submission = self._submission
        if submission is None:
            raise Malformed("the server answered a transaction that is over")
        match step:
            case Step.MAIL:
                self.is_begun = reply.is_positive
                submission.begun(reply)
            case Step.RCPT:
                submission.answered(index, reply)
            case Step.DATA:
                return self._data(submission, reply)
            case Step.CHUNK:
                # RFC 3030 section 2: after a refused chunk nothing more may be sent.
                return None if reply.is_positive else self._shut(reply)
            case _:
                return self._ended(submission, index, reply)
        if submission.is_chunked and not (self._awaited or self._unsent):
            return self._chunks(submission)
        if self._unsent and submission.is_hopeless:  # DATA was not sent: do not ask
            self._unsent.clear()
            return self._settle(_ABANDONED)
        return None

    def _data(self, submission: Submission, reply: Reply) -> ClientEvent | None:
        if not reply.is_positive:
            return self._settle(reply)
        if reply.code != 354:
            raise Malformed("the server answered DATA with neither 354 nor a refusal")
        if submission.is_hopeless:
            # RFC 2920 section 3.1: when DATA is accepted although every RCPT failed,
            # "the client SHOULD send a single dot"; whatever it earns is ignored.
            if self._settings.lmtp:  # nobody to answer for: what comes now is anyone's guess
                self.is_closed = True
                return self._settle(_ABANDONED)
            self._send(b".\r\n", Step.END)
            return None
        self._writer = DataWriter()
        return SendBody()

    def _chunks(self, submission: Submission) -> ClientEvent:
        """Everyone has been answered for: the content may go in chunks (RFC 3030)."""
        if submission.is_hopeless:
            return self._settle(_ABANDONED)
        self._writer = ChunkWriter()
        return SendBody()

    def _ended(self, submission: Submission, index: int, reply: Reply) -> ClientEvent | None:
        if self._settings.lmtp:
            submission.ended(index, reply)
            if self._awaited:
                return None
        self._is_dirty = False  # RFC 5321 section 4.1.1.4: the buffers are cleared
        return self._settle(reply)

    def _settle(self, rest: Reply) -> Settled:
        assert self._submission is not None
        results = self._submission.results(rest)
        self._submission = self._writer = None
        return Settled(results)
