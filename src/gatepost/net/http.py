"""A small HTTP server for a few public octets (RFC 9110, 9112): one request, one answer, closed.

No TLS, no cookies, no files, no keeping alive: what it serves is signed, and whoever asks is
a stranger.  Limits on size, time and connections are its purpose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

MAXIMUM_HEAD = 8192  # octets
MAXIMUM_BODY = 16384
PATIENCE = 10.0  # seconds for the request, and for the answer
THREADS = 2  # of its own: strangers' questions must not stand before mail
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What was asked."""

    method: str
    path: str  # as it came, percent signs and all; without its query
    kind: str = ""  # of the body
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What is answered."""

    status: int
    body: bytes = field(default=b"", repr=False)
    kind: str = "text/plain"
    lasts: timedelta = timedelta()  # how long a cache may keep it
    allow: str = "GET, HEAD"

    def octets(self, *, head: bool = False) -> bytes:
        """On the wire."""
        seconds = int(self.lasts.total_seconds())
        lines = [
            f"HTTP/1.1 {self.status} {_PHRASES.get(self.status, 'Error')}",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(self.body)}",
            f"Cache-Control: max-age={seconds}" if seconds else "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            "Connection: close",
        ]
        if self.status == 405:
            lines.append(f"Allow: {self.allow}")
        return "\r\n".join((*lines, "", "")).encode("ascii") + (b"" if head else self.body)


Route = Callable[[HttpRequest], HttpAnswer]  # called in a thread; raises nothing of its own


class HttpServer:
    """Serves routes by the beginning of their path, the longest first."""

    def __init__(
        self, host: str, port: int, routes: Mapping[str, Route], *, connections: int = 100
    ) -> None:
        self._host, self._wanted = host, port
        self._routes = sorted(routes.items(), key=lambda one: -len(one[0]))
        self._limit = connections
        self._threads = ThreadPoolExecutor(THREADS, "http")
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen beside the other workers; raises OSError."""
        self._server = await asyncio.start_server(
            self._connected, self._host, self._wanted, limit=MAXIMUM_HEAD, reuse_port=True
        )

    @property
    def port(self) -> int:
        """The port really used."""
        assert self._server is not None
        found: tuple[str, int] = self._server.sockets[0].getsockname()
        return found[1]

    async def stop(self) -> None:
        """Take nobody more; who is being answered gets a moment."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=1)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._limit:
            writer.write(HttpAnswer(503).octets())
            writer.close()  # and waited for is nobody: crowds must not take every descriptor
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            async with asyncio.timeout(PATIENCE):
                writer.write(await self._served(reader))
                await _finished(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _served(self, reader: asyncio.StreamReader) -> bytes:
        try:
            request = await _read(reader)
        except asyncio.LimitOverrunError:
            request = HttpAnswer(413)
        if isinstance(request, HttpAnswer):
            return request.octets()
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, self._answer, request)
        return answer.octets(head=request.method == "HEAD")

    def _answer(self, request: HttpRequest) -> HttpAnswer:
        for prefix, route in self._routes:
            if request.path.startswith(prefix):
                try:
                    return route(request)
                except Exception:  # noqa: BLE001  a stranger hears nothing of what happened
                    return HttpAnswer(500)
        return HttpAnswer(404)


async def _read(reader: asyncio.StreamReader) -> HttpRequest | HttpAnswer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        return HttpAnswer(400)
    method, target, _ = words
    if method not in {"GET", "HEAD", "POST"}:
        return HttpAnswer(405, allow="GET, HEAD, POST")
    fields = {
        name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)
    }
    if "transfer-encoding" in fields:  # two ways to say a length are one too many
        return HttpAnswer(400)
    told = fields.get("content-length", "0")
    if not (told.isascii() and told.isdecimal() and len(told) < 10):
        return HttpAnswer(400)
    if int(told) > MAXIMUM_BODY:
        return HttpAnswer(413)
    body = await reader.readexactly(int(told))
    kind = fields.get("content-type", "").partition(";")[0].strip().lower()
    return HttpRequest(method, target.partition("?")[0], kind, body)


async def _finished(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait for the peer to close: a reset could take the answer out of its hands."""
    await writer.drain()
    writer.write_eof()
    rest = MAXIMUM_BODY
    while rest > 0 and (octets := await reader.read(4096)):
        rest -= len(octets)
