"""Invariant: whatever the peer says, a session goes on, closes, or (client) raises Malformed.

Never another exception, never more memory than a line and a chunk, never a message whose
content holds a bare CR or LF, never a recipient without a result.

`server(data)` and `client(data)` take one input each; test_smtp.py feeds them, and
atheris or any other fuzzer may.  The first octet chooses the sizes of the pieces.
"""

from collections.abc import Iterator

from gatepost.errors import Malformed
from gatepost.mail.address import Mailbox
from gatepost.mail.delivery import Credentials
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply
from gatepost.smtp import replies
from gatepost.smtp.client import (
    AuthAnswer,
    ClientSession,
    Ready,
    SendBody,
    Settled,
    TlsAnswer,
)
from gatepost.smtp.data import has_bare_line_end
from gatepost.smtp.events import (
    BodyChunk,
    BodyStart,
    EndOfData,
    Login,
    LookUp,
    MailFrom,
    RcptTo,
    Signal,
    StartTls,
    Substituted,
)
from gatepost.smtp.sasl import LINE_LIMIT, MECHANISMS, Proof, choose
from gatepost.smtp.scram import Verifier
from gatepost.smtp.server import ServerSession
from gatepost.smtp.settings import ClientSettings, ServerSettings
from gatepost.smtp.state import State
from gatepost.smtp.submission import Job

STRICT = ServerSettings(
    "gw.example",
    size_limit=500,
    starttls=True,
    forward=True,
    smtputf8=True,
    substitute=True,
    mechanisms=MECHANISMS,
    auth_in_clear=True,
)
GENTLE = ServerSettings(
    "gw.example",
    bare="normalise",
    error_limit=1000,
    idle_limit=1000,
    login_limit=1000,
    mechanisms=MECHANISMS,
    auth_in_clear=True,
)
LMTP = ServerSettings("gw.example", lmtp=True, error_limit=1000)
KINDS = (STRICT, STRICT, GENTLE, LMTP)
KNOWN = Verifier.decoy("a", b"key")
LETTER = Job(
    Envelope(
        Mailbox.parse("a@x.example"),
        (Recipient(Mailbox.parse("b@y.example")), Recipient(Mailbox.parse("ä@y.example"))),
    ),
    10,
    chunked=True,
    forward=True,
)


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut the input into pieces of a size it chooses itself."""
    step = data[0] % 61 + 1 if data else 1
    return (data[at : at + step] for at in range(1, len(data), step))


def server(data: bytes) -> None:
    """Play a client that says `data`."""
    settings = KINDS[data[0] >> 6 if data else 0]
    session = ServerSession(settings, entropy=bytes)
    session.greet()
    body = b""
    for piece in pieces(data):
        session.receive(piece)
        while not isinstance(event := session.next_event(), Signal):
            match event:
                case MailFrom() | RcptTo():
                    session.answer(replies.OK)
                case BodyStart():
                    session.answer(replies.START)
                    body = b""
                case BodyChunk(octets=octets):
                    assert octets
                    body += octets
                case EndOfData(fault=None) as end:
                    assert len(body) == end.size
                    assert not body or body.endswith(b"\r\n")
                    assert not has_bare_line_end(body)
                    assert b"\0" not in body
                    session.answer(replies.OK)
                case StartTls():
                    session.tls_started()
                case LookUp():
                    session.supply(KNOWN)
                case Login() as login:
                    assert login.proven is not True  # nobody can have proven a decoy's password
                    session.answer(replies.DENIED if login.password else replies.AUTHENTICATED)
                case Substituted():
                    session.renew(settings)
                    session.greet()
                case _:
                    pass
        limit = LINE_LIMIT if session.state is State.AUTHENTICATING else settings.line_limit
        assert session.backlog <= limit + 2
        _check_replies(session.data_to_send())


def _check_replies(said: bytes) -> None:
    assert not said or said.endswith(b"\r\n")
    assert not has_bare_line_end(said)
    for line in said.split(b"\r\n")[:-1]:
        assert line[:3].isdigit()
        assert line[3:4] in (b" ", b"-")
        assert len(line) <= 510


def client(data: bytes) -> None:
    """Play a server that says `data`."""
    session = ClientSession(ClientSettings("me.example"))
    try:
        for piece in pieces(data):
            session.receive(piece)
            while not isinstance(event := session.next_event(), Signal):
                _react(session, event)
            assert not has_bare_line_end(session.data_to_send())
    except Malformed:
        pass
    results = session.abandon(Reply(451, "4.4.2", "gone"))
    assert len(results) in (0, len(LETTER.envelope.recipients))


def _react(session: ClientSession, event: object) -> None:
    match event:
        case Settled(results=results):
            assert [r for r, _ in results] == list(LETTER.envelope.recipients)
            assert not any(reply.code == 354 for _, reply in results)
            if session.is_idle and session.is_begun:  # else it would refuse for ever
                session.begin(LETTER)
        case Ready() if "AUTH" in session.extensions:
            mechanism = choose(session.extensions["AUTH"], is_private=True)
            if mechanism is None:
                session.begin(LETTER)
            else:
                session.authenticate(Proof(mechanism, Credentials("a", "b"), bytes))
        case AuthAnswer():
            session.begin(LETTER)
        case Ready():
            if "STARTTLS" in session.extensions:
                session.starttls()
            else:
                session.begin(LETTER)
        case TlsAnswer(reply=reply):
            if reply.is_positive:
                session.tls_started()
            else:
                session.begin(LETTER)
        case SendBody():
            session.write(b"a\r\n.b\r")
            session.write(b"\n")
            session.finish()
        case _:
            pass
