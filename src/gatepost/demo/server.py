"""The demo's one web page: loopback only, live by server-sent events, no cookie, no account.

State is changed by POST from the page itself; another site's request is recognised by
Sec-Fetch-Site or Origin, another name for this address (DNS rebinding) by Host.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gatepost.demo.exchange import Exchange
from gatepost.demo.picture import picture
from gatepost.demo.story import ANSWER, OFFER
from gatepost.demo.world import ALICE, BOB, World

TYPES = {
    "index.html": "text/html; charset=utf-8",
    "demo.css": "text/css; charset=utf-8",
    "demo.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
HOSTS = ["127.0.0.1", "localhost", "[::1]"]
MAXIMUM_FIELD = 2000  # characters
MAXIMUM_BODY = 32 * 1024  # octets of a form


class Page:
    """The page, its actions and everybody who watches."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._watchers: set[asyncio.Queue[bytes]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._file("index.html")),
                *(Route(f"/static/{name}", self._file(name)) for name in TYPES),
                Route("/events", self._events),
                Route("/send", self._send, methods=["POST"]),
                Route("/reply", self._reply, methods=["POST"]),
                Route("/tamper", self._tamper, methods=["POST"]),
                Route("/certificate", self._certificate, methods=["POST"]),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
        )

    def changed(self, exchange: Exchange) -> None:
        """Tell everybody who watches."""
        self._tell("exchange", picture(exchange))

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        for watcher in self._watchers:
            watcher.put_nowait(b"")

    @staticmethod
    def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
        octets = files("gatepost.demo").joinpath("page", name).read_bytes()

        async def respond(_request: Request) -> Response:
            return Response(octets, media_type=TYPES[name], headers=HEADERS)

        return respond

    async def _events(self, _request: Request) -> Response:
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        for exchange in self.world.exchanges:
            queue.put_nowait(_event("exchange", picture(exchange)))
        queue.put_nowait(_event("certificate", {"present": self.world.knows_bob}))
        self._watchers.add(queue)
        gone = BackgroundTask(self._watchers.discard, queue)
        return StreamingResponse(
            _stream(queue), media_type="text/event-stream", headers=HEADERS, background=gone
        )

    async def _send(self, request: Request) -> Response:
        subject, text = await _written(request)
        return self._start(self.world.send(ALICE, subject, text, "Alice writes"))

    async def _reply(self, request: Request) -> Response:
        subject, _ = await _written(request)
        return self._start(self.world.send(BOB, f"Re: {subject}", ANSWER, "Bob replies"))

    async def _tamper(self, request: Request) -> Response:
        subject, text = await _written(request)
        return self._start(self.world.send(ALICE, subject, text, "One bit is flipped", tamper=True))

    async def _certificate(self, request: Request) -> Response:
        subject, text = await _written(request)
        if self.world.knows_bob:
            self.world.forget_bob()
            self._start(self.world.send(ALICE, subject, text, "No certificate"))
        else:
            self.world.restore_bob()
        self._tell("certificate", {"present": self.world.knows_bob})
        return Response(status_code=202, headers=HEADERS)

    def _start(self, sending: Coroutine[Any, Any, Exchange]) -> Response:
        async def travel() -> None:
            self.changed(await sending)

        task = asyncio.get_running_loop().create_task(travel())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Response(status_code=202, headers=HEADERS)

    def _tell(self, name: str, data: dict[str, Any]) -> None:
        for watcher in self._watchers:
            watcher.put_nowait(_event(name, data))


async def _stream(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while event := await queue.get():
        yield event


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


async def _written(request: Request) -> tuple[str, str]:
    """The form's subject and text; refuses what another site sent."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin") or (
        origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    ):
        raise HTTPException(403, "this page takes orders from itself only")
    if int(request.headers.get("content-length", "0")) > MAXIMUM_BODY:
        raise HTTPException(413, "the form is too large")
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), max_num_fields=8))
    subject = " ".join(form.get("subject", "").split()) or "The Henderson file"
    return subject[:MAXIMUM_FIELD], (form.get("text", "").strip() or OFFER)[:MAXIMUM_FIELD]
