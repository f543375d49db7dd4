"""The states of an SMTP session and what may follow what (RFC 5321 sections 4.1.4, 3.3).

Everything that decides whether a command may come now stands in this file.

An SMTP server session is a small automaton.  A client connects and waits for the
greeting (OPENING); then it must introduce itself (GREETED → READY); then it opens a
mail transaction by MAIL (→ TRANSACTION), names recipients by RCPT (→ ADDRESSED as soon
as one is accepted), and sends DATA (→ BODY), whose end brings it back to READY with
every buffer empty.  BDAT (RFC 3030) leads into a CHUNK of counted octets and, unless it
was the LAST, from there to CHUNKED, where only more chunks may follow.  EHLO, HELO, LHLO
and RSET throw an open transaction away wherever they come (section 4.1.1.5).

STARTTLS (RFC 3207) leads through HANDSHAKE back to GREETED: "the server MUST discard any
knowledge obtained from the client" before it.  XCLIENT, by which a trusted proxy
introduces its own client, leads back to OPENING.  AUTH (RFC 4954) holds an exchange of
its own lines (AUTHENTICATING) and returns to READY.

    OPENING ─greeting─▶ GREETED ─EHLO/HELO─▶ READY ─MAIL─▶ TRANSACTION ─RCPT─▶ ADDRESSED
                           ▲                 │  ▲              │ RSET             │ DATA
                           │                 │  └──────────────┴───────┐          ▼
                        HANDSHAKE ◀─STARTTLS─┘                        ├────────  BODY
                                                                      └─LAST───  CHUNK ⇄ CHUNKED

Two kinds of edges:

* a command edge is taken when the command earned a positive reply; after any other "the
  SMTP server MUST stay in the same state" (section 4.1.4);
* an event edge (greeting sent, end of data or chunk, handshake or log-in done) is taken by
  the session.

A command that has no edge from the present state is out of order and earns the reply
in `OUT_OF_ORDER`.  QUIT, NOOP, HELP and VRFY are always in order (section 4.1.4).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from gatepost.mail.reply import Reply


class State(Enum):
    """Where a session stands."""

    __hash__ = object.__hash__  # members are singletons; the tables are asked at every command

    OPENING = "opening"  # connected, greeting not sent
    GREETED = "greeted"  # greeting sent, the client has not said who it is
    READY = "ready"  # between mail transactions
    TRANSACTION = "transaction"  # return path known, no recipient yet
    ADDRESSED = "addressed"  # at least one recipient accepted
    BODY = "body"  # between 354 and CRLF.CRLF
    CHUNK = "chunk"  # inside the octets of a BDAT
    CHUNKED = "chunked"  # between two BDATs of one message
    AUTHENTICATING = "authenticating"  # between 334 and the end of AUTH
    HANDSHAKE = "handshake"  # between 220 to STARTTLS and the end of the TLS handshake
    CLOSED = "closed"  # last reply given


class Verb(Enum):
    """A command word."""

    __hash__ = object.__hash__

    EHLO = "EHLO"
    HELO = "HELO"
    LHLO = "LHLO"
    STARTTLS = "STARTTLS"
    XFORWARD = "XFORWARD"
    XCLIENT = "XCLIENT"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    HELP = "HELP"
    QUIT = "QUIT"


_ANYWHERE: Final = (Verb.NOOP, Verb.VRFY, Verb.HELP)


def _row(state: State, **edges: State) -> dict[Verb, State]:
    """One state's edges: the named ones and those every listening state has."""
    row = {Verb[name]: target for name, target in edges.items()}
    return row | dict.fromkeys(_ANYWHERE, state) | {Verb.QUIT: State.CLOSED}


_AGAIN: Final = dict.fromkeys(("EHLO", "HELO", "LHLO", "RSET"), State.READY)

TRANSITIONS: Final[dict[State, dict[Verb, State]]] = {
    State.OPENING: {},
    State.GREETED: _row(State.GREETED, **_AGAIN | {"RSET": State.GREETED}),
    State.READY: _row(
        State.READY,
        **_AGAIN,
        STARTTLS=State.HANDSHAKE,
        XFORWARD=State.READY,
        XCLIENT=State.OPENING,
        AUTH=State.AUTHENTICATING,
        MAIL=State.TRANSACTION,
    ),
    State.TRANSACTION: _row(State.TRANSACTION, **_AGAIN, RCPT=State.ADDRESSED),
    State.ADDRESSED: _row(
        State.ADDRESSED, **_AGAIN, RCPT=State.ADDRESSED, DATA=State.BODY, BDAT=State.CHUNK
    ),
    State.BODY: {},
    State.CHUNK: {},
    State.CHUNKED: _row(State.CHUNKED, **_AGAIN, BDAT=State.CHUNK),
    State.AUTHENTICATING: {},
    State.HANDSHAKE: {},
    State.CLOSED: {},
}

_HELLO_FIRST: Final = Reply(503, "5.5.1", "Send EHLO first")
_NESTED: Final = Reply(503, "5.5.1", "A mail transaction is open already")
_MAIL_FIRST: Final = Reply(503, "5.5.1", "Send MAIL first")
# RFC 2920 section 3.2: DATA pipelined behind refused recipients; LMTP asks for 503.
_NOBODY: Final = Reply(554, "5.5.1", "No valid recipients")
_MIXED: Final = Reply(503, "5.5.1", "DATA and BDAT must not be mixed")  # RFC 3030 section 2
_BETWEEN: Final = (Verb.MAIL, Verb.STARTTLS, Verb.XFORWARD, Verb.XCLIENT, Verb.AUTH)

OUT_OF_ORDER: Final[dict[State, dict[Verb, Reply]]] = {
    State.GREETED: dict.fromkeys((*_BETWEEN, Verb.RCPT, Verb.DATA, Verb.BDAT), _HELLO_FIRST),
    State.READY: dict.fromkeys((Verb.RCPT, Verb.DATA, Verb.BDAT), _MAIL_FIRST),
    State.TRANSACTION: {
        **dict.fromkeys(_BETWEEN, _NESTED),
        **dict.fromkeys((Verb.DATA, Verb.BDAT), _NOBODY),
    },
    State.ADDRESSED: dict.fromkeys(_BETWEEN, _NESTED),
    State.CHUNKED: {
        **dict.fromkeys((*_BETWEEN, Verb.RCPT), _NESTED),
        Verb.DATA: _MIXED,
    },
}

_OPEN: Final = frozenset(
    {State.TRANSACTION, State.ADDRESSED, State.BODY, State.CHUNK, State.CHUNKED}
)


def is_open(state: State) -> bool:
    """Whether a mail transaction would be lost if the session ended now."""
    return state in _OPEN
