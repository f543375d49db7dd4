"""The exchanges of AUTH on both sides: PLAIN, LOGIN and SCRAM-SHA-256 (RFC 4954, RFC 4616).

A server's exchange turns each response into what to do next; every fault names its
reply.  A client prefers the mechanism that tells the server least.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from gatepost.errors import Malformed
from gatepost.mail.delivery import Credentials
from gatepost.smtp import replies
from gatepost.smtp.replies import Fault
from gatepost.smtp.scram import ClientProof, ServerProof, Verifier, prepared

MECHANISMS: Final = ("SCRAM-SHA-256", "PLAIN", "LOGIN")
LINE_LIMIT: Final = 12288 + 2  # RFC 4954 section 4.3: what a server must be able to take
Entropy = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Ask:
    """Send this challenge."""

    challenge: bytes


@dataclass(frozen=True, slots=True)
class Find:
    """Find the verifier of this name, then `supply` it."""

    name: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The client says it is `name`; `proven` None: the password has to be compared."""

    name: str
    password: str = field(default="", repr=False)
    proven: bool | None = None


Move = Ask | Find | Claim


class Exchange(Protocol):
    """A server's side of one mechanism."""

    def respond(self, response: bytes | None) -> Move:
        """Take a response (None: AUTH came without one); raises Fault or Malformed."""
        ...

    def supply(self, verifier: Verifier, /) -> Move:
        """Take the verifier that `Find` asked for."""
        ...


class _Plain:
    """RFC 4616: authorisation identity, name and password, NUL between them."""

    def respond(self, response: bytes | None) -> Move:
        if response is None:
            return Ask(b"")
        other, name, password = _texts(response, 3)
        if not name or (other and other != name):
            raise Fault(replies.AUTH_MALFORMED)
        return Claim(prepared(name), password)

    def supply(self, _verifier: Verifier, /) -> Move:
        raise Malformed("PLAIN asks for no verifier")


class _Login:
    """LOGIN, of which only drafts exist: name, then password."""

    def __init__(self) -> None:
        self._name: str | None = None

    def respond(self, response: bytes | None) -> Move:
        if response is None:
            return Ask(b"Username:")
        (text,) = _texts(response, 1)
        if self._name is None:
            self._name = prepared(text)
            return Ask(b"Password:")
        return Claim(self._name, text)

    def supply(self, _verifier: Verifier, /) -> Move:
        raise Malformed("LOGIN asks for no verifier")


class _Scram:
    """RFC 7677."""

    def __init__(self, entropy: Entropy) -> None:
        self._proof = ServerProof(_nonce(entropy))
        self._is_first, self._is_proven = True, False

    def respond(self, response: bytes | None) -> Move:
        if response is None:
            return Ask(b"")
        if self._is_proven:  # the client has read our signature: its empty last word
            if response:
                raise Malformed("a client says nothing after the last SCRAM message")
            return Claim(self._proof.name, proven=True)
        if self._is_first:
            self._is_first = False
            return Find(self._proof.receive(response))
        final = self._proof.judge(response)
        if final is None:
            return Claim(self._proof.name, proven=False)
        self._is_proven = True
        return Ask(final)

    def supply(self, verifier: Verifier, /) -> Move:
        return Ask(self._proof.challenge(verifier))


def exchange(mechanism: str, entropy: Entropy) -> Exchange:
    """A new server's side of this mechanism; raises Fault for an unknown one."""
    match mechanism:
        case "PLAIN":
            return _Plain()
        case "LOGIN":
            return _Login()
        case "SCRAM-SHA-256":
            return _Scram(entropy)
        case _:
            raise Fault(replies.AUTH_UNKNOWN)


def decoded(line: bytes) -> bytes:
    """A response line's octets; raises Fault (RFC 4954 section 4: "*" cancels)."""
    if line == b"*":
        raise Fault(replies.AUTH_CANCELLED)
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise Fault(replies.AUTH_MALFORMED) from None


def encoded(octets: bytes) -> str:
    """What stands on the line for these octets."""
    return base64.b64encode(octets).decode("ascii")


def _texts(response: bytes, count: int) -> list[str]:
    try:
        texts = response.decode("utf-8").split("\0")
    except UnicodeDecodeError:
        raise Malformed("a name or password is no UTF-8") from None
    if len(texts) != count:
        raise Malformed("malformed response")
    return texts


def _nonce(entropy: Entropy) -> str:
    return base64.b64encode(entropy(18)).decode("ascii")


# ── the client's side ────────────────────────────────────────────────────────────────


class Proof:
    """A client's side of one exchange; `begin` first, then `respond` to each challenge."""

    def __init__(self, mechanism: str, credentials: Credentials, entropy: Entropy) -> None:
        self.mechanism, self._credentials = mechanism, credentials
        self._steps = 0
        self._scram: ClientProof | None = None
        if mechanism == "SCRAM-SHA-256":
            self._scram = ClientProof(credentials.name, credentials.password, _nonce(entropy))

    def begin(self) -> str:
        """The AUTH command's argument, with an initial response where there is one."""
        if self._scram is not None:
            return f"{self.mechanism} {encoded(self._scram.first())}"
        if self.mechanism == "PLAIN":
            secret = f"\0{self._credentials.name}\0{self._credentials.password}".encode()
            return f"PLAIN {encoded(secret)}"
        return self.mechanism

    def respond(self, challenge: str) -> bytes:
        """The next response, ready for the line; raises Malformed."""
        self._steps += 1
        if self._scram is not None and self._steps <= 2:
            try:
                octets = base64.b64decode(challenge, validate=True)
            except (binascii.Error, ValueError):
                raise Malformed("the server's challenge is no base64") from None
            if self._steps == 1:
                return encoded(self._scram.prove(octets)).encode()
            self._scram.check(octets)
            return b""
        if self.mechanism == "LOGIN" and self._steps <= 2:
            word = self._credentials.name if self._steps == 1 else self._credentials.password
            return encoded(word.encode()).encode()
        raise Malformed("the server asks for more than the mechanism has")

    @property
    def is_assured(self) -> bool:
        """Whether a positive end may be believed: with SCRAM the server has to prove itself."""
        return self._scram is None or self._scram.is_assured


def choose(offered: str, *, is_private: bool) -> str | None:
    """The best mechanism a server offers; a password in clear only on a private connection."""
    words = set(offered.upper().split())
    wanted = MECHANISMS if is_private else ("SCRAM-SHA-256",)
    return next((one for one in wanted if one in words), None)
