"""The little web server against crowds, and routes that fail."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.patience import PATIENCE

from gatepost.net import http
from gatepost.net.http import HttpAnswer, HttpRequest, HttpServer, Route

ASKS = b"GET / HTTP/1.1\r\n\r\n"


def route(request: HttpRequest) -> HttpAnswer:
    if request.path == "/bad":
        raise LookupError(request.path)
    return HttpAnswer(200, b"here")


@asynccontextmanager
async def running(connections: int, answer: Route = route) -> AsyncIterator[HttpServer]:
    made = HttpServer("127.0.0.1", 0, {"/": answer}, connections=connections)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def heard(server: HttpServer, octets: bytes) -> bytes:
    """All that is answered, until the server hangs up; nothing more is said to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(octets)
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


async def test_crowds_are_sent_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands who say nothing take every descriptor of a worker that also takes mail."""
    monkeypatch.setattr(http, "PATIENCE", 3600.0)
    async with running(1) as server, asyncio.timeout(PATIENCE):
        _, silent = await asyncio.open_connection("127.0.0.1", server.port)
        reader, stays = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
        silent.close()
        while b" 200 " not in await heard(server, ASKS):  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)
        stays.close()


async def test_strangers_do_not_stand_before_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions that take their time fill the threads in which mail is decided."""
    monkeypatch.setattr(http, "PATIENCE", 3600.0)
    may_go, count = threading.Event(), 40  # more than asyncio has threads of its own

    def slow(_: HttpRequest) -> HttpAnswer:
        may_go.wait(PATIENCE)
        return HttpAnswer(200)

    async with running(count, slow) as server:
        asked = [asyncio.ensure_future(heard(server, ASKS)) for _ in range(count)]
        async with asyncio.timeout(PATIENCE):
            while len(server._tasks) < count:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(0.01)
            assert await asyncio.to_thread(lambda: "mail") == "mail"
        may_go.set()
        assert all(b" 200 " in one for one in await asyncio.gather(*asked))


async def test_a_route_that_fails_is_an_error_and_no_more() -> None:
    """A stranger hears what happened inside, or the next one hears nothing."""
    async with running(2) as server:
        first = await heard(server, b"GET /bad HTTP/1.1\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 500 ")
        assert b"LookupError" not in first
        assert (await heard(server, ASKS)).startswith(b"HTTP/1.1 200 ")
