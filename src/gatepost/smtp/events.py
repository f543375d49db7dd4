"""What a server session tells its owner (RFC 5321 section 3).

`MailFrom`, `RcptTo`, `BodyStart`, `Login` and an `EndOfData` without fault wait for an
answer, `LookUp` for a verifier, `Substituted` for a greeting; the others are news.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal

from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.reply import Reply


class Signal(Enum):
    """Why there is no event now."""

    NEED_DATA = "need data"  # give the session more octets
    PAUSED = "paused"  # answer first (or greet, or finish TLS, or close)


NEED_DATA: Final = Signal.NEED_DATA
PAUSED: Final = Signal.PAUSED


@dataclass(frozen=True, slots=True)
class Hello:
    """The client said who it is; already answered."""

    name: str
    extended: bool  # EHLO, not HELO


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A trusted client said on whose behalf it speaks (Postfix XFORWARD); already answered."""

    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MailFrom:
    """A transaction wants to begin; `envelope` has no recipients yet."""

    envelope: Envelope
    size: int | None  # what the client declared (RFC 1870)


@dataclass(frozen=True, slots=True)
class RcptTo:
    """One more recipient; `envelope` holds those accepted before."""

    envelope: Envelope
    recipient: Recipient


@dataclass(frozen=True, slots=True)
class BodyStart:
    """DATA or the first BDAT came in order; answer `replies.START` to receive the content."""

    envelope: Envelope
    chunked: bool = False  # BDAT: a positive answer is not said


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """Content octets, dots already unstuffed, in order."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class EndOfData:
    """CRLF.CRLF or the last chunk came, or a chunk that spoils the message.

    With a `fault` the session has refused the message itself and what came as
    `BodyChunk` must be thrown away; without, the owner answers.
    """

    envelope: Envelope
    size: int
    fault: Reply | None


@dataclass(frozen=True, slots=True)
class Reset:
    """An open transaction was thrown away (RSET, or EHLO again); already answered."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """A client proves its password by SCRAM; `supply` the verifier of this name, or answer 4yz."""

    name: str


@dataclass(frozen=True, slots=True)
class Login:
    """A client logs in; answer 235, or 535 when the password is wrong (RFC 4954 section 4)."""

    name: str
    password: str = field(repr=False)
    proven: bool | None = None  # SCRAM has decided already; None: compare the password


@dataclass(frozen=True, slots=True)
class Substituted:
    """A trusted proxy said who its client is (XCLIENT): `renew` the session, then `greet`."""

    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StartTls:
    """220 is in the output; send it, do the handshake, then call `tls_started`."""


@dataclass(frozen=True, slots=True)
class Quit:
    """The client is leaving; 221 is in the output."""


Event = (
    Hello
    | Forwarded
    | MailFrom
    | RcptTo
    | BodyStart
    | BodyChunk
    | EndOfData
    | Reset
    | LookUp
    | Login
    | Substituted
    | StartTls
    | Quit
)
Next = Event | Literal[Signal.NEED_DATA, Signal.PAUSED]
