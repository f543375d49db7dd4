"""Policies over HTTPS: only from the server that proves its name, only so much (RFC 8461 3.3)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.lookup.zone import resolver, serving
from tests.unit.route.people import Card, card

from gatepost.errors import GatepostError
from gatepost.lookup.web import Web

HOST = "mta-sts.p.example"
TEXT = "version: STSv1\r\nmode: enforce\r\nmx: mx.p.example\r\nmax_age: 86400\r\n"
PLAIN = "Content-Type: text/plain; charset=utf-8"
TODAY = datetime.now(UTC)
ROOT = card("Root", ca=True, now=TODAY)


@asynccontextmanager
async def web(
    folder: Path, leaf: Card, *answer: str, body: str = TEXT
) -> AsyncIterator[tuple[Web, list[str]]]:
    pem, anchors = folder / "server.pem", folder / "root.pem"
    pem.write_bytes(leaf.pem + leaf.key_pem)
    anchors.write_bytes(ROOT.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
        head = "\r\n".join((*answer, f"Content-Length: {len(body)}", "Connection: close"))
        writer.write(f"{head}\r\n\r\n{body}".encode())
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    async with serving({f"{HOST} A": ["127.0.0.1"]}) as server:
        yield Web(resolver(server, ipv6=False), port, str(anchors)), heard
    listening.close()


async def test_fetched(tmp_path: Path) -> None:
    """A right policy is not found."""
    async with web(tmp_path, card(HOST, issuer=ROOT, now=TODAY), "HTTP/1.1 200 OK", PLAIN) as (
        ask,
        heard,
    ):
        assert await ask("p.example") == TEXT
    assert heard[0].startswith("GET /.well-known/mta-sts.txt HTTP/1.1\r\n")
    assert f"host: {HOST}\r\n" in heard[0].lower()


@pytest.mark.parametrize(
    "leaf",
    [
        card("www.p.example", issuer=ROOT, now=TODAY),
        card(HOST, now=TODAY),
        card(HOST, issuer=ROOT, now=TODAY, days=5, age=10),
        card("p.example", issuer=ROOT, now=TODAY),
    ],
    ids=["name", "self-signed", "expired", "parent"],
)
async def test_impostors(tmp_path: Path, leaf: Card) -> None:
    """Whoever stands between writes the policy."""
    async with web(tmp_path, leaf, "HTTP/1.1 200 OK", PLAIN) as (ask, heard):
        with pytest.raises(GatepostError, match="certificate"):
            await ask("p.example")
    assert not heard


@pytest.mark.parametrize(
    ("answer", "body", "told"),
    [
        (("HTTP/1.1 301 Moved", "Location: https://evil.test/", PLAIN), TEXT, "says 301"),
        (("HTTP/1.1 404 Not Found", PLAIN), TEXT, "says 404"),
        (("HTTP/1.1 200 OK", "Content-Type: text/html"), TEXT, "not text/plain"),
        (("HTTP/1.1 200 OK",), TEXT, "not text/plain"),
        (("HTTP/1.1 200 OK", PLAIN), "x" * 70_000, "larger"),
        (("nonsense",), TEXT, HOST),
    ],
)
async def test_answers_that_are_none(
    tmp_path: Path, answer: tuple[str, ...], body: str, told: str
) -> None:
    """A hoster's page for everybody is taken for a policy, or fills the memory."""
    leaf = card(HOST, issuer=ROOT, now=TODAY)
    async with web(tmp_path, leaf, *answer, body=body) as (ask, _):
        with pytest.raises(GatepostError, match=told):
            await ask("p.example")


async def test_nobody_there(tmp_path: Path) -> None:
    """An exception where mail goes on without a policy."""
    async with serving({f"{HOST} A": ["127.0.0.1"], "mta-sts.q.example TXT": ["x"]}) as server:
        ask = Web(resolver(server, ipv6=False), port=1)
        with pytest.raises(GatepostError):
            await ask("p.example")
        with pytest.raises(GatepostError, match="no address"):
            await ask("q.example")
