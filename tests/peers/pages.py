"""A web server on loopback that shows what a test puts into `pages`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Self

from tests.peers.web_server import WebServer


@dataclass
class Pages(WebServer):
    """Octets by name, or what answers what was posted; a text is where people are sent instead."""

    pages: dict[str, bytes | str | Callable[[bytes], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._serve(_handler(self))
        return self

    def url(self, name: str) -> str:
        """Where a page is."""
        return f"http://127.0.0.1:{self.port}/{name}"


def _handler(site: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path[1:])
            page = site.pages.get(self.path[1:])
            if callable(page):
                page = page(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.send_response(404 if page is None else 302 if isinstance(page, str) else 200)
            if isinstance(page, str):
                self.send_header("Location", page)
            self.end_headers()
            if isinstance(page, bytes):
                self.wfile.write(page)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    return Handler
