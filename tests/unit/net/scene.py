"""Servers, clients and certificates for tests of the network."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.dialogues.company import Company
from tests.patience import PATIENCE

from gatepost.mail.address import Mailbox
from gatepost.mail.delivery import NextHop
from gatepost.mail.envelope import Envelope, Recipient
from gatepost.net.listener import Listener
from gatepost.net.relay import Relay
from gatepost.net.settings import EdgeSettings, RelaySettings
from gatepost.smtp.settings import ServerSettings

HOST = "127.0.0.1"
SERVER = ServerSettings("gw.example")
PATIENT = RelaySettings()
QUICK = RelaySettings(  # only for hops that are silent: a machine may stand still for as long
    connect_timeout=2, greeting_timeout=0.3, command_timeout=0.3, block_timeout=0.3,
    final_timeout=0.3, handshake_timeout=2,
)  # fmt: skip
HELLO = b"EHLO client.example\r\n"
OPEN = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"


@dataclass(frozen=True)
class Pem:
    """A self-signed certificate for localhost, and its key."""

    certificate: Path
    key: Path


def self_signed(folder: Path, *names: str) -> Pem:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    today = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [x509.DNSName(n) for n in names or ("localhost",)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([*alternatives, x509.IPAddress(ip_address(HOST))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    pem = Pem(folder / "cert.pem", folder / "key.pem")
    pem.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem


def envelope(*recipients: str) -> Envelope:
    return Envelope(
        Mailbox.parse("a@x.example"),
        tuple(Recipient(Mailbox.parse(text)) for text in recipients or ("b@y.example",)),
    )


@asynccontextmanager
async def listening(
    company: Company | None = None, settings: EdgeSettings | None = None, **options: object
) -> AsyncIterator[Listener]:
    listener = Listener(
        company or Company(),
        settings or EdgeSettings(SERVER),
        host=HOST,
        port=0,
        **options,  # type: ignore[arg-type]  # each test names real ones
    )
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


class Caller:
    """A client that says exactly what a test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def hear(self, replies: int = 1) -> list[int]:
        """The codes of the next replies; an empty list is the end of the connection."""
        codes: list[int] = []
        async with asyncio.timeout(PATIENCE):
            while len(codes) < replies:
                line = await self.reader.readline()
                if not line:
                    return codes
                if line[3:4] != b"-":
                    codes.append(int(line[:3]))
        return codes


@asynccontextmanager
async def calling(port: int) -> AsyncIterator[Caller]:
    reader, writer = await asyncio.open_connection(HOST, port)
    caller = Caller(reader, writer)
    try:
        assert await caller.hear() in ([220], [421], [554])
        yield caller
    finally:
        writer.close()


Behaviour = Callable[[Caller], "asyncio.Future[None] | asyncio.Task[None]"]


@asynccontextmanager
async def pretending(*acts: object) -> AsyncIterator[NextHop]:
    """A next hop whose n-th connection plays the n-th act (the last one again and again).

    An act is a list of steps: octets are sent, an int waits for so many lines, "close"
    hangs up, a float sleeps.
    """
    connections = 0

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        act = acts[min(connections, len(acts) - 1)]
        connections += 1
        try:
            for step in act:  # type: ignore[attr-defined]  # acts are sequences
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, int):
                    for _ in range(step):
                        await reader.readline()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(play, HOST, 0)
    try:
        yield NextHop(HOST, server.sockets[0].getsockname()[1], tls="none")
    finally:
        server.close()


@asynccontextmanager
async def relaying(settings: RelaySettings = PATIENT) -> AsyncIterator[Relay]:
    relay = Relay("me.example", settings)
    try:
        yield relay
    finally:
        await relay.close()
