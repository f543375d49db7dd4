import asyncio
import contextlib
import ssl
import struct
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.dialogues.company import Company
from tests.patience import PATIENCE
from tests.unit.net.scene import HELLO, HOST, OPEN, SERVER, calling, listening, self_signed

from gatepost.errors import Malformed
from gatepost.net.proxy import SIGNATURE, parse_binary, parse_text
from gatepost.net.settings import EdgeSettings
from gatepost.net.tls import client_context, server_context

HERE = (ip_network("127.0.0.0/8"),)
MAIL = HELLO + OPEN + b"DATA\r\nSubject: x\r\n.\r\nQUIT\r\n"


def binary(command: int, pair: int, rest: bytes) -> bytes:
    return SIGNATURE + bytes((command, pair)) + struct.pack("!H", len(rest)) + rest


V4 = binary(0x21, 0x11, bytes((192, 0, 2, 7, 127, 0, 0, 1)) + struct.pack("!HH", 4711, 25))
V6 = binary(
    0x21, 0x21, bytes.fromhex("20010db8000000000000000000000007") * 2 + struct.pack("!HH", 1, 25)
)


@pytest.mark.parametrize(
    ("header", "peer", "port"),
    [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 25\r\n", "192.0.2.7", 4711),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 25\r\n", "2001:db8::7", 4711),
        (b"PROXY UNKNOWN\r\n", "", 0),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", 0),
        (V4, "192.0.2.7", 4711),
        (V6, "2001:db8::7", 1),
        (binary(0x21, 0x11, V4[16:] + b"\x03\x00\x04abcd"), "192.0.2.7", 4711),
        (binary(0x21, 0x00, b""), "", 0),
        (binary(0x20, 0x00, b""), HOST, None),
    ],
)
async def test_headers(header: bytes, peer: str, port: int | None) -> None:
    """Behind a load balancer every client looks like the balancer, which is trusted."""
    company = Company()
    async with listening(company, proxies=HERE) as listener:
        reader, writer = await asyncio.open_connection(HOST, listener.port)
        for at in range(0, len(header), 5):
            writer.write(header[at : at + 5])
            await writer.drain()
        writer.write(MAIL)
        said = await asyncio.wait_for(reader.read(), PATIENCE)
        assert said.endswith(b"221 2.0.0 Bye\r\n")
        writer.close()
    session = company.kept[0][0]
    assert session.peer == peer
    assert port is None or session.port == port


@pytest.mark.parametrize(
    "header",
    [HELLO, b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 192.0.2.300 127.0.0.1 1 2\r\n", b"PROXY TCP4 x\r\n",
     b"PROXY TCP4 192.0.2.7 127.0.0.1 99999 25\r\n", b"PROXY TCP4 192.0.2.7 127.0.0.1 00000099999 25\r\n",
     b"PROXY TCP6 fe80::1%\x1b[31m ::1 1 25\r\n", b"PROXY TCP4 " + b"1" * 200, SIGNATURE + b"\x21",
     binary(0x31, 0x11, b"x" * 12), binary(0x21, 0x11, b"x"), SIGNATURE + b"\x21\x11\xff\xff"],
)  # fmt: skip
async def test_no_header_no_service(header: bytes) -> None:
    """A proxy that forgot its header makes everybody trusted."""
    async with listening(proxies=HERE) as listener:
        reader, writer = await asyncio.open_connection(HOST, listener.port)
        writer.write(header + HELLO * 5)
        writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()
        assert listener.connections == 0


async def test_a_proxy_that_says_nothing() -> None:
    """Silent connections pile up before anybody counts them."""
    settings = EdgeSettings(SERVER, handshake_timeout=0.1)
    async with listening(settings=settings, proxies=HERE) as listener:
        reader, writer = await asyncio.open_connection(HOST, listener.port)
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
        writer.close()


async def test_others_speak_for_themselves() -> None:
    """Any stranger forges whom a mail came from."""
    company = Company()
    async with (
        listening(company, proxies=(ip_network("192.0.2.0/24"),)) as listener,
        calling(listener.port) as caller,
    ):
        caller.say(b"PROXY TCP4 10.0.0.1 127.0.0.1 1 25\r\n" + MAIL)
        assert (await caller.hear(9))[:2] == [500, 250]
    assert company.kept[0][0].peer == HOST


async def test_tls_behind_a_proxy(tmp_path: Path) -> None:
    """Port 465 does not work behind a load balancer: the header comes before TLS."""
    pem = self_signed(tmp_path)
    company = Company()
    context = server_context(pem.certificate, pem.key)
    async with listening(company, tls=context, is_implicit_tls=True, proxies=HERE) as listener:
        reader, writer = await asyncio.open_connection(HOST, listener.port)
        writer.write(V4)
        await writer.start_tls(client_context(verify=False))
        writer.write(MAIL)
        said = await asyncio.wait_for(reader.read(), PATIENCE)
        assert said.endswith(b"221 2.0.0 Bye\r\n")
        writer.close()
    session = company.kept[0][0]
    assert session.peer == "192.0.2.7"
    assert session.tls
    assert isinstance(context, ssl.SSLContext)


async def test_end_behind_proxies() -> None:
    """A restart leaves the port taken."""
    async with listening(proxies=HERE) as listener:
        port = listener.port
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(V4)
        await reader.readline()
        await listener.drain(1)
        assert (await reader.readline())[:3] == b"421"
        with pytest.raises(OSError):
            await asyncio.open_connection(HOST, port)
        writer.close()
        await listener.start()
        assert listener.port


@given(st.binary(max_size=120), st.binary(max_size=60))
def test_garbage(line: bytes, rest: bytes) -> None:
    """A hostile header crashes the listener."""
    for octets in (line, b"PROXY " + line):
        with contextlib.suppress(Malformed):
            parse_text(octets)
    head = SIGNATURE + (line + b"\0" * 4)[:4]
    with contextlib.suppress(Malformed):
        parse_binary(head, rest)
