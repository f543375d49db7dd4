"""What is read line by line: commands, replies, log-ins, the PROXY protocol, HTTP requests.

Invariant: a value, or an error the function names; lines mean the same in pieces of any size;
what is accepted can be passed on, logged and reported without forging anything.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address

from tests.fuzz import choice, smtp_target

from gatepost.engine import public
from gatepost.enrol.status import MAXIMUM_QUESTION
from gatepost.errors import Malformed
from gatepost.mail import dsn, trace
from gatepost.mail import field as codec
from gatepost.mail.address import Mailbox
from gatepost.mail.content import Octets
from gatepost.mail.delivery import Attempt, Credentials
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.mail.message import Arrival, Direction, Message
from gatepost.mail.reply import Reply
from gatepost.net import http, proxy
from gatepost.smtp import commands, extensions, grammar, sasl
from gatepost.smtp.answers import ReplyReader
from gatepost.smtp.commands import LineReader
from gatepost.smtp.replies import Fault
from gatepost.smtp.scram import Verifier
from gatepost.smtp.state import Verb

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LIMIT = 2048
REPLY_LINE, REPLY_LINES = 512, 20
PASSWORD = "secret"
ITERATIONS = 4096  # the least

WORDS = (
    *(b"MAIL FROM:<", b"RCPT TO:<", b"> ", b"SIZE=1", b"RET=HDRS", b"ENVID=", b"NOTIFY=SUCCESS,DELAY"),
    *(b"ORCPT=rfc822;", b"ORCPT=utf-8;", b"+2B", b"BODY=8BITMIME", b"SMTPUTF8", b"REQUIRETLS"),
    *(b"AUTH=<>", b"BDAT 1 LAST", b"EHLO ", b"XCLIENT ADDR=", b"IPV6:", b"XFORWARD NAME=", b"[UNAVAILABLE]"),
    *(b"250-", b"250 ", b"\r\n", b"\n", b"334 ", b"5.1.1 ", b"PIPELINING", b"n,,n=a,r=", b"c=biws,r="),
    *(b"r=", b",s=", b",i=4096", b",p=", b"SCRAM-SHA-256$", b"PROXY TCP4 ", b"PROXY TCP6 ", b"PROXY UNKNOWN\r\n"),
    *(proxy.SIGNATURE, b"\x21\x11", b"\x21\x21", b"GET ", b"POST /ocsp HTTP/1.1\r\n", b"Content-Length: "),
    *(b"Content-Type: application/ocsp-request\r\n", b"Transfer-Encoding: chunked\r\n", b"%"),
)  # fmt: skip


def target(octets: bytes) -> None:
    """One input."""
    choice.read(READERS, octets)


def command(octets: bytes) -> None:
    """Command lines, in pieces and at once, and what each of them says."""
    whole = cut([octets])
    assert cut(smtp_target.pieces(octets)) == cut([octets[1:]])
    for line in whole[:20]:
        with suppress(Fault):
            verb, argument = commands.split(line, LIMIT)
            assert verb in Verb
            meant(verb, argument)


def cut(pieces: Iterator[bytes] | list[bytes]) -> list[bytes]:
    """The lines in what comes."""
    reader, buffer, at, found = LineReader(LIMIT), b"", 0, list[bytes]()
    for piece in pieces:
        buffer, at = buffer[at:] + piece, 0
        while True:
            line, at = reader.read(buffer, at)
            if line is None:
                break
            if b"\n" in line or b"\r" in line:  # the session ends there
                return found
            found.append(line)
    return found


def meant(verb: Verb, argument: str) -> None:
    """An argument, and what becomes of it: a Received field, a report."""
    for utf8 in (True, False):
        with suppress(Fault):
            envelope, _ = commands.mail(argument, smtputf8=utf8, requiretls=True, auth=True)
            reported(envelope, Recipient(Mailbox("a", "b.example")))
        with suppress(Fault):
            recipient = commands.rcpt(argument, smtputf8=utf8, postmaster_domain="b.example")
            assert Mailbox.parse(str(recipient.mailbox)) == recipient.mailbox
            reported(Envelope(Mailbox("a", "b.example"), ()), recipient)
            traced("a", Envelope(None, (recipient,)))
    with suppress(Fault):
        size, _ = commands.chunk(argument)
        assert size < 10**20
    with suppress(Fault):
        traced(commands.hello(argument), Envelope(None, ()))
    for read in (extensions.forwarded, extensions.substituted):
        with suppress(Fault):
            found = read(argument)
            assert all(one.isprintable() for one in found.values())
            if address := found.get("ADDR") if read is extensions.substituted else "":
                assert str(ip_address(address)) == address
                assert "%" not in address


def reported(envelope: Envelope, recipient: Recipient) -> None:
    """A report on it has the fields we wrote, and no other."""
    message = Message(Direction.OUTBOUND, envelope.to(recipient), arrival("a"), b"Subject: x\r\n", Octets(b""))  # fmt: skip
    if envelope.return_path is None:
        return
    attempt = Attempt(recipient, Reply(550, "5.1.1", "no"), "mx.example")
    dsn.wanted(recipient, "DELAY")
    _, body = dsn.report(dsn.FAILED, message, [attempt], hostname="gw.example", names=lambda: "1", now=NOW, protected=True)  # fmt: skip
    status = body.split(b"message/delivery-status\r\n\r\n")[1].split(b"\r\n--=_1")[0]
    names = [one.name for group in status.split(b"\r\n\r\n") for one in codec.fields(group)]
    assert names == [one for one in STATUS if one in names]
    assert status.isascii()


STATUS = (
    *("Original-Envelope-Id", "Reporting-MTA", "Arrival-Date", "Original-Recipient"),
    *("Final-Recipient", "Action", "Status", "Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date"),
)


def arrival(helo: str) -> Arrival:
    """A mail from somebody of this name."""
    return Arrival("Q1", NOW, "in", "192.0.2.1", helo)


def traced(helo: str, envelope: Envelope) -> None:
    """Nobody forges a field by how he calls himself."""
    (found,) = codec.fields(trace.received(arrival(helo), envelope, "gw.example", NOW))
    assert found.raw.count(b"\n") == found.raw.count(b"\r\n") == found.raw.count(b"\r")
    assert b"\0" not in found.raw


def reply(octets: bytes) -> None:
    """Replies, in pieces and at once."""
    whole = heard([octets[1:]])
    assert heard(smtp_target.pieces(octets)) == whole
    for one in whole:
        if one is not None:
            assert all(line.isprintable() for line in one.text.split("\n"))
            assert 200 <= one.code <= 599
            extensions.parse_offer(tuple(one.text.split("\n")[1:]))


def heard(pieces: Iterator[bytes] | list[bytes]) -> list[Reply | None]:
    """What a server said; None at the end: it is none."""
    reader, found = ReplyReader(REPLY_LINE, REPLY_LINES), list[Reply | None]()
    for piece in pieces:
        reader.receive(piece)
        try:
            found += iter(reader.next_reply, None)
        except Malformed:
            return [*found, None]
    return found


def login(octets: bytes) -> None:
    """Nobody is let in who lacks the password, and nobody learns ours."""
    for mechanism in sasl.MECHANISMS:
        with suppress(Fault, Malformed):
            exchange = sasl.exchange(mechanism, bytes)
            for line in (None, *octets.split(b"\n")[:4]):
                move = exchange.respond(line)
                if isinstance(move, sasl.Find):
                    move = exchange.supply(known())
                assert not (isinstance(move, sasl.Claim) and move.proven)
        proof = sasl.Proof(mechanism, Credentials("name", PASSWORD), bytes)
        proof.begin()
        with suppress(Malformed):
            for line in octets.split(b"\n")[:4]:
                said = proof.respond(line.decode("utf-8", "replace"))
                assert mechanism != "SCRAM-SHA-256" or PASSWORD.encode() not in said
        assert mechanism != "SCRAM-SHA-256" or not proof.is_assured


def verifier(octets: bytes) -> None:
    """A kept password, which is compared in finite time."""
    with suppress(Malformed):
        found = Verifier.parse(octets.decode("utf-8", "replace"))
        assert Verifier.parse(str(found)) == found
        if found.iterations < ITERATIONS:
            assert not found.accepts("another")


def behind(octets: bytes) -> None:
    """The PROXY protocol: the same client in both versions, and not an octet too many."""
    with suppress(Malformed):
        found = proxy.parse_text(octets.partition(b"\n")[0] + b"\n")
        assert said_twice(found) == found
    ours, its = socket.socketpair()
    with ours, its:
        ours.setblocking(False)
        its.sendall(octets)
        its.shutdown(socket.SHUT_WR)
        with suppress(Malformed):
            client = loop().run_until_complete(proxy.read(ours))
            rest = b"".join(iter(lambda: ours.recv(65536), b""))
            assert octets.endswith(rest)
            assert len(octets) - len(rest) <= 16 + 4096
            if client is not None and client[0]:
                assert said_twice(client) == client


def said_twice(client: proxy.Client) -> proxy.Client | None:
    """The client as version 2 says it."""
    host, port = client
    if not host:
        return client
    address = ip_address(host)
    head = proxy.SIGNATURE + bytes((0x21, 0x11 if address.version == 4 else 0x21, 0, 0))
    return proxy.parse_binary(head, address.packed * 2 + port.to_bytes(2, "big") * 2)


def xtext(octets: bytes) -> None:
    """Any text survives xtext, whoever decodes it."""
    text = octets.decode("utf-8", "replace")
    coded = grammar.encode_xtext(text)
    assert grammar.is_xtext(coded)
    assert grammar.decode_xtext(coded) == text
    with suppress(Malformed):
        plain = grammar.decode_xtext(text)
        assert not plain.isascii() or not plain.isprintable() or dsn.xtext(text) == plain


def request(octets: bytes) -> None:
    """An HTTP request, and the question in it."""
    with suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        found = loop().run_until_complete(asked(octets))
        if isinstance(found, http.HttpRequest):
            assert found.path.startswith("/")
            assert len(found.body) <= http.MAXIMUM_BODY
            question = public._question(found)
            if isinstance(question, bytes):
                assert len(question) <= max(len(found.body), MAXIMUM_QUESTION)
                return
            found = question
        head = found.octets()
        assert head.startswith(b"HTTP/1.1 4")
        assert head.count(b"\r\n\r\n") == 1


async def asked(octets: bytes) -> http.HttpRequest | http.HttpAnswer:
    """What came on a connection."""
    reader = asyncio.StreamReader(limit=http.MAXIMUM_HEAD)
    reader.feed_data(octets)
    reader.feed_eof()
    return await http._read(reader)


READERS: tuple[choice.Reader, ...] = (
    command,
    reply,
    login,
    verifier,
    behind,
    xtext,
    request,
)


@cache
def loop() -> asyncio.AbstractEventLoop:
    """One for the process."""
    return asyncio.new_event_loop()


@cache
def known() -> Verifier:
    """What a server knows of the password."""
    return Verifier.of(PASSWORD, b"salt", ITERATIONS)


def seeds() -> Iterator[bytes]:
    """Lines of every kind."""
    lines = [
        b"EHLO mail.example\r\n",
        b"MAIL FROM:<a@b.example> SIZE=9 BODY=8BITMIME RET=HDRS ENVID=Q+2B1 SMTPUTF8 AUTH=a+40b\r\n",
        b'RCPT TO:<"a b"@b.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@b.example\r\n',
        b"RCPT TO:<@x.example:\xc3\xa4@\xc3\xbc.example> ORCPT=utf-8;\xc3\xa4@b\r\nRCPT TO:<Postmaster>\r\n",
        b"XCLIENT ADDR=IPV6:2001:db8::1 NAME=a+20b PORT=25\r\nXFORWARD NAME=[UNAVAILABLE]\r\n",
        b"BDAT 5 LAST\r\nNOOP\r\nVRFY a\r\n\r\n" + b"x" * 30,
    ]
    replies = [
        b"250-mx greets\r\n250-SIZE 1\r\n250-AUTH=LOGIN\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n",
        b"550 5.1.1 no\n354\r\n450-4.2.0 a\r\n450 4.2.0 b\r\n220 \xc3\xa4\x07\r\n",
    ]
    proof = sasl.Proof("SCRAM-SHA-256", Credentials("name", PASSWORD), bytes)
    first = proof.begin().partition(" ")[2]
    server = sasl.exchange("SCRAM-SHA-256", bytes)
    server.respond(sasl.decoded(first.encode()))
    challenge = server.supply(known())
    assert isinstance(challenge, sasl.Ask)
    heads = [b"GET /ocsp/MAo= HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /pki/a?b HTTP/1.0\r\n\r\n", b"PUT / HTTP/1.1\r\n\r\n"]  # fmt: skip
    post = b"POST /ocsp HTTP/1.1\r\nContent-Length: 4\r\nContent-Type: application/ocsp-request\r\n\r\nabcd"
    binary = proxy.SIGNATURE + b"\x21\x11\0\x0c\xc0\0\2\7\x7f\0\0\1\x12\x67\0\x19"
    six = proxy.SIGNATURE + b"\x21\x21\0\x24" + bytes(range(32)) + b"\0\1\0\2"
    yield from choice.sown(
        READERS,
        {
            command: [b"\7" + one for one in lines] + lines,
            reply: [b"\7" + one for one in replies],
            login: [
                b"\0name\0secret",
                b"name\nsecret",
                sasl.decoded(first.encode()),
                sasl.encoded(challenge.challenge).encode(),
            ],
            verifier: [
                str(known()).encode(),
                str(Verifier(b"s", 1, bytes(32), bytes(32))).encode(),
            ],
            behind: [
                b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 25\r\nEHLO a\r\n",
                b"PROXY TCP6 2001:db8::7 ::1 4711 25\r\n",
                b"PROXY UNKNOWN\r\n",
                binary + b"EHLO",
                six,
                proxy.SIGNATURE + b"\x20\0\0\0",
            ],
            xtext: [b"a+2Bb", "Grüße+".encode(), b"+C3+A4"],
            request: [*heads, post],
        },
    )
