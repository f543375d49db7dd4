import asyncio
import errno
import smtplib
import socket
import ssl
import struct
from email.message import EmailMessage
from ipaddress import ip_network
from pathlib import Path

import pytest
import uvloop
from tests.dialogues.company import Company
from tests.patience import PATIENCE, soon
from tests.unit.net.scene import HELLO, HOST, OPEN, SERVER, calling, listening, self_signed

from gatepost.errors import Refused
from gatepost.mail.content import Content, Octets
from gatepost.mail.envelope import Envelope
from gatepost.mail.reply import Reply
from gatepost.net.application import SessionInfo, Sink
from gatepost.net.bind import bind
from gatepost.net.roster import ConnectionLimits
from gatepost.net.settings import EdgeSettings
from gatepost.net.sink import MemorySink
from gatepost.net.tls import client_context, server_context
from gatepost.smtp.settings import ServerSettings

DATA = b"DATA\r\n"
END = b"Subject: x\r\n.\r\n"
BIG = b"Subject: x\r\n" + (b"y" * 78 + b"\r\n") * 8000 + b".\r\n"


def brisk(**changes: object) -> EdgeSettings:
    return EdgeSettings(SERVER, command_timeout=0.2, data_timeout=0.2, **changes)  # type: ignore[arg-type]


async def test_silent_clients_are_sent_away() -> None:
    """Clients that say nothing fill the server (RFC 5321 section 4.5.3.2)."""
    for words in (b"", HELLO, HELLO + OPEN, HELLO + OPEN + DATA + b"half"):
        async with listening(settings=brisk()) as listener, calling(listener.port) as caller:
            caller.say(words)
            heard = await caller.hear(9)
            assert heard[-1] == 421
            await soon(lambda: listener.connections == 0)


async def test_busy_clients_are_not() -> None:
    """A slow but living client is cut off in the middle of its mail."""
    settings = EdgeSettings(SERVER, command_timeout=1.5, data_timeout=1.5)
    async with listening(settings=settings) as listener, calling(listener.port) as caller:
        caller.say(HELLO + OPEN + DATA)
        for _ in range(20):
            await asyncio.sleep(0.1)
            caller.say(b"line\r\n")
        caller.say(b".\r\n")
        assert await caller.hear(5) == [250, 250, 250, 354, 250]


class Slow(Company):
    """Never decides about a message."""

    cancelled = False

    async def message(self, session: SessionInfo, envelope: Envelope, content: Content) -> Reply:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return Reply(250, "2.0.0", "Too late")


async def test_a_decision_that_never_comes() -> None:
    """The client gives up first and the mail is sent twice."""
    company = Slow()
    settings = EdgeSettings(SERVER, decision_timeout=0.1)
    async with listening(company, settings) as listener, calling(listener.port) as caller:
        caller.say(HELLO + OPEN + DATA + END + b"NOOP\r\n")
        assert await caller.hear(6) == [250, 250, 250, 354, 451, 250]
    assert company.cancelled


class Strict(Company):
    """Refuses by exceptions."""

    def sender(self, session: SessionInfo, envelope: Envelope) -> Reply:
        raise Refused("the reason stays in the log")

    def admit(self, session: SessionInfo) -> Reply | None:
        return Reply(554, "5.7.1", "No") if session.listener == "closed" else None


async def test_errors_earn_their_replies() -> None:
    """A refusal is told as a failure that is tried again for days."""
    async with listening(Strict()) as listener, calling(listener.port) as caller:
        caller.say(HELLO + OPEN)
        assert await caller.hear(3) == [250, 550, 503]
    settings = EdgeSettings(SERVER, listener="closed")
    async with listening(Strict(), settings) as listener, calling(listener.port) as caller:
        assert await caller.hear() == []


class Full(MemorySink):
    """A disk without space."""

    discarded = 0

    def write(self, octets: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def discard(self) -> None:
        Full.discarded += 1


class Broken(MemorySink):
    """A disk that fails at the last moment."""

    def finish(self) -> Content:
        raise OSError(errno.EIO, "Input/output error")

    def discard(self) -> None:
        raise OSError(errno.EIO, "Input/output error")


class Disk(Company):
    def __init__(self, kind: type[MemorySink]) -> None:
        super().__init__()
        self._kind = kind

    def sink(self) -> Sink:
        return self._kind()


@pytest.mark.parametrize(("kind", "code"), [(Full, 452), (Broken, 451), (MemorySink, 250)])
async def test_disks(kind: type[MemorySink], code: int) -> None:
    """A full disk loses mail, or the connection and the mails behind it."""
    company = Disk(kind)
    async with listening(company) as listener, calling(listener.port) as caller:
        caller.say(HELLO + (OPEN + DATA + BIG) + (OPEN + DATA + END))
        assert [250, 250, 250, 354, code, 250, 250, 354, 250] == await caller.hear(9)
    assert (1 if code != 250 else 2) == len(company.kept)
    assert isinstance(Octets(company.kept[-1][2]), Content)


async def test_half_a_mail_leaves_nothing() -> None:
    """Spool files of broken connections fill the disk."""
    Full.discarded = 0

    class Counting(MemorySink):
        def discard(self) -> None:
            Full.discarded += 1

    company = Disk(Counting)
    async with listening(company) as listener, calling(listener.port) as caller:
        caller.say(HELLO + OPEN + DATA + BIG[:-3])
        await caller.hear(4)
        await asyncio.sleep(0.05)
        caller.writer.transport.abort()
        await soon(lambda: listener.connections == 0)
    assert Full.discarded == 1
    assert company.kept == []


async def test_limits() -> None:
    """One client, or all together, use up the server."""
    limits = ConnectionLimits(total=5, per_peer=2)
    async with listening(limits=limits) as listener:
        async with (
            calling(listener.port) as one,
            calling(listener.port),
            calling(listener.port) as three,
        ):
            assert await three.hear() == []
            one.say(b"NOOP\r\n")
            assert await one.hear() == [250]
        await soon(lambda: listener.connections == 0)
        async with calling(listener.port) as again:
            again.say(b"NOOP\r\n")
            assert await again.hear() == [250]


async def test_unread_replies_stop_the_work() -> None:
    """A client that never reads fills the memory with replies."""
    patient = EdgeSettings(ServerSettings("gw.example", idle_limit=10**9))
    async with listening(settings=patient) as listener:
        reader, writer = await asyncio.open_connection(HOST, listener.port, limit=1)
        writer.transport.set_write_buffer_limits(0)
        flood = b"EHLO x\r\n" * 4096
        written = 0
        try:
            async with asyncio.timeout(1.5):
                while written < 64 * 1024 * 1024:
                    writer.write(flood)
                    await writer.drain()
                    written += len(flood)
        except TimeoutError:
            pass
        # Socket buffers of both sides take some MiB; the server's own memory does not grow.
        assert written < 32 * 1024 * 1024
        assert not reader.at_eof()
        writer.transport.abort()
        await soon(lambda: listener.connections == 0)


async def test_octets_behind_an_open_question_wait() -> None:
    """A client that talks on while we decide fills the memory, or is answered out of order."""
    company = Company()
    async with listening(company) as listener, calling(listener.port) as caller:
        slow = b"Subject: slow\r\n.\r\n"
        caller.say(HELLO + (OPEN + DATA + slow) * 40)
        codes = await caller.hear(1 + 4 * 40)
        assert codes == [250] + [250, 250, 354, 250] * 40
    assert len(company.kept) == 40


async def test_a_client_that_has_said_all_is_answered() -> None:
    """Exim closes its side behind QUIT: it would send again what was accepted, for ever."""
    company = Company()
    async with listening(company) as listener, calling(listener.port) as caller:
        caller.say(HELLO + OPEN + DATA)
        await caller.hear(4)
        caller.say(b"Subject: slow\r\n.\r\nQUIT\r\n")
        caller.writer.write_eof()
        assert await caller.hear() == [250]
        assert await caller.hear() == [221]
        assert await caller.hear() == []
    async with listening(company) as listener, calling(listener.port) as caller:
        caller.say(HELLO)
        caller.writer.write_eof()
        assert await caller.hear() == [250]
        assert await caller.hear() == []


async def test_drain() -> None:
    """A restart cuts mails in half, or waits for ever for idle clients."""
    company = Company()
    async with (
        listening(company) as listener,
        calling(listener.port) as idle,
        calling(listener.port) as busy,
    ):
        idle.say(HELLO)
        await idle.hear()
        busy.say(HELLO + OPEN + DATA + b"half\r\n")
        await busy.hear(4)
        draining = asyncio.create_task(listener.drain(PATIENCE))
        assert await idle.hear() == [421]
        assert await idle.hear() == []
        busy.say(b".\r\n" + OPEN)
        assert await busy.hear(9) == [250, 421]
        await draining
        with pytest.raises(OSError):
            await asyncio.open_connection(HOST, listener.port)
    assert [octets for _, _, octets in company.kept] == [b"half\r\n"]


async def test_drain_does_not_wait_for_ever() -> None:
    """A stuck client blocks the restart."""
    async with listening() as listener, calling(listener.port) as caller:
        caller.say(HELLO + OPEN + DATA)
        await caller.hear(4)
        await listener.drain(0.05)
        assert await caller.hear() == []


async def test_forwarded_by_trusted_clients_only() -> None:
    """Anyone forges whom a mail came from."""
    xforward = b"XFORWARD NAME=spike.example ADDR=192.0.2.7\r\n"
    company = Company()
    trusting = EdgeSettings(SERVER, forward_from=(ip_network("127.0.0.0/8"),))
    async with listening(company, trusting) as listener, calling(listener.port) as caller:
        caller.say(HELLO + xforward + (OPEN + DATA + END) * 2)
        assert (await caller.hear(10))[:2] == [250, 250]
    seen = [dict(session.forwarded) for session, _, _ in company.kept]
    assert seen == [{"NAME": "spike.example", "ADDR": "192.0.2.7"}, {}]
    other = EdgeSettings(SERVER, forward_from=(ip_network("192.0.2.0/24"), ip_network("::1")))
    async with listening(company, other) as listener, calling(listener.port) as caller:
        caller.say(HELLO + xforward)
        assert await caller.hear(2) == [250, 550]


async def test_two_share_a_socket() -> None:
    """While one worker ends and the next begins, clients are refused or forgotten."""
    (first,) = bind(HOST, 0)
    second = first.dup()
    async with listening(sockets=(first,), is_shared=True) as old:
        port = old.port
        async with listening(sockets=(second,), is_shared=True) as new:
            callers = [await asyncio.open_connection(HOST, port) for _ in range(20)]
            assert [(await reader.readline())[:3] for reader, _ in callers] == [b"220"] * 20
            assert old.connections + new.connections == 20
            assert abs(old.connections - new.connections) <= 6  # neither takes most
            retiring = asyncio.create_task(old.retire(PATIENCE))
            await asyncio.sleep(0)
            async with calling(port) as caller:
                caller.say(HELLO)
                assert await caller.hear() == [250]
            assert old.connections < 20
            for _, writer in callers:
                writer.close()
            await retiring
            assert old.connections == 0


async def test_retire_lets_clients_finish() -> None:
    """A reload cuts off a client between its greeting and its mail."""
    company = Company()
    async with (
        listening(company) as listener,
        calling(listener.port) as slow,
        calling(listener.port) as idle,
    ):
        retiring = asyncio.create_task(listener.retire(PATIENCE))
        await asyncio.sleep(0.3)
        slow.say(HELLO)
        assert await slow.hear() == [250]
        slow.say(OPEN + DATA + b"late\r\n")
        assert await slow.hear(3) == [250, 250, 354]
        assert await idle.hear() == [421]  # kept open for later: it may come again
        slow.say(b".\r\nQUIT\r\n")
        assert await slow.hear(2) == [250, 221]
        async with asyncio.timeout(PATIENCE / 2):
            await retiring
    assert [octets for _, _, octets in company.kept] == [b"late\r\n"]


# ── TLS, and independent clients ─────────────────────────────────────────────────────


def post(port: int, context: ssl.SSLContext | None, count: int = 2) -> list[str]:
    """Python's own client sends mail, as an independent witness."""
    message = EmailMessage()
    message["Subject"] = "hello"
    message.set_content(".dot\n..dots\nä\n", cte="8bit")
    seen: list[str] = []
    with smtplib.SMTP(HOST, port, timeout=PATIENCE) as client:
        if context is not None:
            client.starttls(context=context)
            seen.append(str(client.sock.cipher()[0]))  # type: ignore[union-attr]
        for _ in range(count):
            client.send_message(
                message, "a@x.example", ["b@y.example", "c@y.example"], ["BODY=8BITMIME"]
            )
        seen.append(str(client.docmd("XYZZY")[0]))
    return seen


async def test_smtplib() -> None:
    """Ordinary clients cannot send mail."""
    company = Company()
    async with listening(company) as listener:
        assert await asyncio.to_thread(post, listener.port, None) == ["500"]
    assert len(company.kept) == 2
    session, envelope, octets = company.kept[0]
    assert octets.endswith(".dot\r\n..dots\r\nä\r\n".encode())
    assert [str(r) for r in envelope.recipients] == ["b@y.example", "c@y.example"]
    assert envelope.body == "8BITMIME"
    assert (session.protocol, session.tls, session.peer) == ("ESMTP", None, HOST)


@pytest.mark.parametrize("policy", ["asyncio", "uvloop"])
def test_starttls(tmp_path: Path, policy: str) -> None:
    """Clients that insist on TLS cannot send mail."""
    pem = self_signed(tmp_path)
    company = Company()
    trust = ssl.create_default_context(cafile=str(pem.certificate))
    trust.check_hostname = True

    async def scene() -> list[str]:
        context = server_context(pem.certificate, pem.key)
        settings = EdgeSettings(ServerSettings("gw.example", require_tls=True))
        async with listening(company, settings, tls=context) as listener:
            return await asyncio.to_thread(post, listener.port, trust)

    factory = uvloop.new_event_loop if policy == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        seen = runner.run(scene())
    session = company.kept[0][0]
    assert f"TLSv1.3 {seen[0]}" == session.tls
    assert session.protocol == "ESMTPS"
    assert len(company.kept) == 2


async def test_implicit_tls(tmp_path: Path) -> None:
    """Port 465 does not work (RFC 8314)."""
    pem = self_signed(tmp_path)
    company = Company()
    context = server_context(pem.certificate, pem.key)
    async with listening(company, tls=context, is_implicit_tls=True) as listener:
        reader, writer = await asyncio.open_connection(
            HOST, listener.port, ssl=client_context(verify=True, anchors=str(pem.certificate))
        )
        writer.write(HELLO + OPEN + DATA + END + b"QUIT\r\n")
        heard = await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
    assert b"STARTTLS" not in heard
    assert company.kept[0][0].tls


async def test_commands_injected_before_tls(tmp_path: Path) -> None:
    """Words a man in the middle put before the handshake are obeyed after it."""
    pem = self_signed(tmp_path)
    company = Company()
    context = server_context(pem.certificate, pem.key)
    async with listening(company, tls=context) as listener, calling(listener.port) as caller:
        caller.say(HELLO)
        await caller.hear()
        caller.say(b"STARTTLS\r\n" + HELLO + OPEN + DATA + END)
        assert await caller.hear() == [220]
        await caller.writer.start_tls(client_context(verify=False))
        caller.say(b"NOOP\r\nDATA\r\n")
        assert await caller.hear(2) == [250, 503]
    assert company.kept == []


async def test_a_handshake_that_fails(tmp_path: Path) -> None:
    """A port scanner leaves connections behind."""
    pem = self_signed(tmp_path)
    async with listening(tls=server_context(pem.certificate, pem.key)) as listener:
        for garbage in (b"this is no TLS\r\n" * 10, b"", b"\x16\x03\x01"):
            async with calling(listener.port) as caller:
                if len(garbage) == 3:  # and the kernel says that it is gone, not that it has ended
                    own = caller.writer.get_extra_info("socket")
                    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                caller.say(HELLO)
                await caller.hear()
                caller.say(b"STARTTLS\r\n")
                await caller.hear()
                caller.say(garbage)
                if len(garbage) < 5:
                    await asyncio.sleep(0.05)
                    caller.writer.transport.abort()
            await soon(lambda: listener.connections == 0)
