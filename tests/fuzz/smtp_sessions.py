"""Random SMTP sessions, as many as you like: `python -m tests.fuzz.smtp_sessions 1000000 [SEED]`.

Half of them are noise made of words of SMTP (smtp_target's invariants); the others carry
hostile content through DATA and BDAT by a client that keeps to the protocol, and a model
that shares no code with the server says what must come of it: as many transactions as the
client opened, each content exactly as sent or refused, and both sides still in step.
"""

import random
import re
import sys
import time
from collections.abc import Callable

from tests.fuzz import smtp_target

from gatepost.smtp import replies
from gatepost.smtp.client import ClientSession, Ready, SendBody, Settled
from gatepost.smtp.events import (
    BodyChunk,
    BodyStart,
    EndOfData,
    MailFrom,
    RcptTo,
    Reset,
    Signal,
)
from gatepost.smtp.server import ServerSession
from gatepost.smtp.settings import ClientSettings, ServerSettings
from gatepost.smtp.submission import Job

CLIENT_WORDS = [
    b"EHLO a\r\n", b"HELO a\r\n", b"LHLO a\r\n", b"MAIL FROM:<a@b.c>", b"MAIL FROM:<>", b" SIZE=9",
    b" BODY=8BITMIME", b" SMTPUTF8", b" RET=FULL", b" REQUIRETLS", b" AUTH=<>", b"RCPT TO:<x@y.z>",
    b" NOTIFY=NEVER", b" ORCPT=rfc822;x", b"\r\n", b"DATA\r\n", b"\r\n.\r\n", b".", b"\n", b"\r",
    b"\0", b"\n.\n", b"RSET\r\n", b"STARTTLS\r\n", b"XFORWARD NAME=x", b"XCLIENT ADDR=192.0.2.1\r\n",
    b"QUIT\r\n", b"x" * 600, b"x" * 2100, b'"', b"<", b">", b"@", b"\xc3\xa4", b"BDAT 3\r\nabc",
    b"BDAT 9\r\n", b"BDAT 0 LAST\r\n", b"BDAT 5 LAST\r\n.\r\n\r\n", b"BDAT 99999999999\r\n", b"BDAT\r\n",
    b"AUTH PLAIN AGEAYg==\r\n", b"AUTH LOGIN\r\n", b"YQ==\r\n", b"*\r\n",
    b"AUTH SCRAM-SHA-256 biwsbj1hLHI9YWJj\r\n", b"Yz1iaXdzLHI9eA==\r\n", b"x" * 13000,
    b"EHLO a\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<x@y.z>\r\n",
]  # fmt: skip
SERVER_WORDS = [
    b"220 mx\r\n", b"250-mx\r\n", b"250-PIPELINING\r\n", b"250-STARTTLS\r\n", b"250-SIZE 5\r\n",
    b"250-CHUNKING\r\n", b"250-AUTH SCRAM-SHA-256 PLAIN LOGIN\r\n", b"250-XFORWARD NAME ADDR\r\n",
    b"250-SMTPUTF8\r\n", b"250 8BITMIME\r\n", b"250 2.0.0 ok\r\n", b"354 go\r\n", b"421 bye\r\n",
    b"451 4.0.0 no\r\n", b"550 5.1.1 no\r\n", b"235 2.7.0 in\r\n", b"334 \r\n", b"334 cj1h\r\n",
    b"250", b" ", b"-", b"\r\n", b"\n", b"\r", b"\0", b"x" * 5000, b"503 x\r\n", b"502 x\r\n",
    b"220 mx\r\n250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
]  # fmt: skip
_ATOMS = [
    b"a", b"text", b".", b"..", b"\r\n", b"\r\n\r\n", b"\r\n.", b"\r\n..\r\n", b"\xc3\xa4",
    b"MAIL FROM:<evil@x.y>\r\n", b"RCPT TO:<victim@x.y>\r\n", b"DATA\r\n", b"RSET\r\n", b"QUIT\r\n",
    b"BDAT 4 LAST\r\n", b"EHLO evil.example\r\n", b"Subject: x\r\n\r\n",
]  # fmt: skip
_SMUGGLERS = [
    b"\n", b"\r", b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\0",
    b"\r\n\0.\r\n", b"\n.\r\nMAIL FROM:<evil@x.y>\r\nRCPT TO:<victim@x.y>\r\nDATA\r\nboo\r\n",
]  # fmt: skip
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_STEADY = {"error_limit": 10**9, "idle_limit": 10**9, "login_limit": 10**9}
Chance = random.Random


def noise(chance: Chance, words: list[bytes]) -> bytes:
    """Words and rubbish, the first octet for smtp_target to choose by."""
    parts = [bytes([chance.randrange(256)])]
    for _ in range(chance.randrange(40)):
        is_word = chance.random() < 0.85
        parts.append(chance.choice(words) if is_word else chance.randbytes(chance.randrange(7)))
    return b"".join(parts)


def content(chance: Chance) -> bytes:
    """Content of lines, now and then with something smuggled in."""
    atoms = _ATOMS + _SMUGGLERS if chance.random() < 0.5 else _ATOMS
    return b"".join(chance.choice(atoms) for _ in range(chance.randrange(1, 14)))


def by_data(body: bytes) -> bytes:
    """Content as a client sends it after DATA (RFC 5321 section 4.5.2)."""
    stuffed = body.replace(b"\r\n.", b"\r\n..")
    stuffed = b"." + stuffed if stuffed.startswith(b".") else stuffed
    return b"DATA\r\n" + stuffed + (b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n")


def by_chunks(chance: Chance, body: bytes) -> bytes:
    """Content in chunks cut anywhere (RFC 3030)."""
    out, at = [], 0
    while at < len(body):
        step = chance.randrange(1, len(body) + 1)
        piece, at = body[at : at + step], at + step
        is_last = at >= len(body) and chance.random() < 0.5
        out.append(b"BDAT %d%s\r\n" % (len(piece), b" LAST" if is_last else b"") + piece)
        if is_last:
            return b"".join(out)
    return b"".join([*out, b"BDAT 0 LAST\r\n"])


def arrived(body: bytes) -> bytes:
    """What must come of content that is not refused."""
    normal = _BARE.sub(b"\r\n", body).replace(b"\0", b"")
    return normal if not normal or normal.endswith(b"\r\n") else normal + b"\r\n"


class Server:
    """Plays a server that takes everything, and keeps what it took."""

    def __init__(self, settings: ServerSettings) -> None:
        self.session = ServerSession(settings)
        self.session.greet()
        self.senders, self.bodies, self.said = 0, list[bytes](), b""
        self._body = b""

    def receive(self, piece: bytes) -> None:
        self.session.receive(piece)
        while not isinstance(event := self.session.next_event(), Signal):
            match event:
                case MailFrom():
                    self.senders += 1
                    self.session.answer(replies.OK)
                case RcptTo():
                    self.session.answer(replies.OK)
                case BodyStart():
                    self._body = b""
                    self.session.answer(replies.START)
                case BodyChunk(octets=octets):
                    self._body += octets
                case EndOfData(fault=None):
                    self.bodies.append(self._body)
                    self.session.answer(replies.OK)
                case Reset():
                    self._body = b""
                case _:
                    pass
        self.said += self.session.data_to_send()


def smuggling(chance: Chance) -> None:
    """A well-behaved client with hostile content; the model says what must arrive."""
    is_strict, is_lmtp = chance.random() < 0.7, chance.random() < 0.2
    settings = ServerSettings(
        "gw.example",
        bare="reject" if is_strict else "normalise",
        lmtp=is_lmtp,
        **_STEADY,  # type: ignore[arg-type]  # integers all
    )
    server = Server(settings)
    wire, expected, count = [b"LHLO c\r\n" if is_lmtp else b"EHLO c\r\n"], list[bytes](), 0
    for _ in range(chance.randrange(1, 4)):
        body = content(chance)
        wire.append(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n")
        count += 1
        if chance.random() < 0.1:
            wire.append(b"BDAT %d\r\n" % len(body) + body + b"RSET\r\n")
            continue
        is_data = chance.random() < 0.5
        wire.append(by_data(body) if is_data else by_chunks(chance, body))
        if is_data and not body.endswith(b"\r\n"):
            body += b"\r\n"  # as the client had to
        if not is_strict or not (_BARE.search(body) or b"\0" in body):
            expected.append(arrived(body))
    wire.append(b"QUIT\r\n")
    octets, at = b"".join(wire), 0
    step = chance.choice((1, 2, 3, 7, 50, 1000, 10**6))
    while at < len(octets):
        size = chance.randrange(1, step + 1)
        server.receive(octets[at : at + size])
        at += size
    assert server.senders == count, octets
    assert server.bodies == expected, octets
    assert server.session.is_closed, octets
    assert server.said.endswith(b"221 2.0.0 Bye\r\n"), octets


def round_trip(chance: Chance) -> None:
    """Our client and our server: what is sent arrives, by DATA and BDAT, SMTP and LMTP."""
    is_lmtp, is_chunked = chance.random() < 0.3, chance.random() < 0.5
    server = Server(ServerSettings("gw.example", lmtp=is_lmtp))
    client = ClientSession(ClientSettings("me.example", lmtp=is_lmtp))
    body = b"".join(chance.choice(_ATOMS) for _ in range(chance.randrange(1, 9))) + b"\r\n"
    job = Job(smtp_target.LETTER.envelope, len(body), is_eight_bit=True, chunked=is_chunked)
    settled: Settled | None = None
    while settled is None:
        said, server.said = server.said + server.session.data_to_send(), b""
        client.receive(said)
        while not isinstance(event := client.next_event(), Signal):
            match event:
                case Ready():
                    client.begin(job)
                case SendBody():
                    step = chance.randrange(1, 9)
                    for at in range(0, len(body), step):
                        client.write(body[at : at + step])
                    client.finish()
                case Settled():
                    settled = event
                    break
        server.receive(client.data_to_send())
    assert server.bodies == [body]
    assert [reply.code for _, reply in settled.results] == [250, 553]


def play(chance: Chance) -> None:
    """One session."""
    kinds: list[Callable[[], None]] = [
        lambda: smtp_target.server(noise(chance, CLIENT_WORDS)),
        lambda: smtp_target.client(noise(chance, SERVER_WORDS)),
        lambda: smuggling(chance),
        lambda: smuggling(chance),
        lambda: round_trip(chance),
    ]
    chance.choice(kinds)()


def run(count: int, seed: int) -> None:
    """So many sessions; a failure names the seed that repeats it alone."""
    for number in range(count):
        one = seed * 1_000_000_007 + number
        try:
            play(Chance(one))
        except BaseException:
            print(f"session with seed {one} failed", file=sys.stderr)  # noqa: T201 - a tool
            raise


def main(arguments: list[str]) -> None:
    count = int(arguments[0]) if arguments else 10_000
    seed = int(arguments[1]) if len(arguments) > 1 else random.randrange(1 << 30)
    begun = time.monotonic()
    run(count, seed)
    print(f"{count} sessions, seed {seed}, {time.monotonic() - begun:.1f} s: no fault")  # noqa: T201 - a tool


if __name__ == "__main__":
    main(sys.argv[1:])
