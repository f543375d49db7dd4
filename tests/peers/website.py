"""The companies' web servers: HTTPS for their domains, by way of which gateways are reached.

What a test puts into `instead` is shown in the gateway's place, as by somebody on the way.
"""

import http.client
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Self

from tests.peers.web_server import WebServer
from tests.unit.route.people import card


@dataclass
class Website(WebServer):
    """One server on loopback for several domains; `gateways` are their ports for the public."""

    folder: Path
    gateways: Mapping[str, int]
    instead: dict[str, str] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        root = card("Web Root", ca=True, now=now)
        self.anchors = self.folder / "root.pem"
        self.anchors.write_bytes(root.pem)
        contexts = {
            one: self._context(one, card(one, issuer=root, now=now)) for one in self.gateways
        }
        first = next(iter(contexts.values()))

        def named(channel: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            channel.context = contexts.get(name or "", first)

        first.sni_callback = named
        self._serve(_handler(self), first)
        return self

    def shown(self, domain: str, path: str) -> tuple[int, str]:
        """What is shown at a path of a domain."""
        if domain in self.away or domain not in self.gateways:
            return 404, ""
        if domain in self.instead:
            return 200, self.instead[domain]
        asked = http.client.HTTPConnection("127.0.0.1", self.gateways[domain], timeout=60)
        asked.request("GET", path)
        answer = asked.getresponse()
        return answer.status, answer.read().decode()

    def _context(self, domain: str, leaf: object) -> ssl.SSLContext:
        pem = self.folder / f"{domain}.pem"
        pem.write_bytes(leaf.pem + leaf.key_pem)  # type: ignore[attr-defined]  # a Card
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(pem)
        return made


def _handler(site: Website) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.headers.get("Host", "").partition(":")[0]
            status, text = site.shown(host, self.path)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler
