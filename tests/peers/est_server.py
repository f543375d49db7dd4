"""An EST server (RFC 7030) for tests: HTTP and TLS of the standard library, openssl behind it.

It shows whom it was asked by; `instead` answers in its place, as a faulty server would.
"""

import base64
import ssl
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Self

from tests.peers.authority import BadRequest, OpensslAuthority
from tests.peers.web_server import WebServer

Reply = tuple[int, dict[str, str], bytes]
BAG = {"Content-Type": "application/pkcs7-mime", "Content-Transfer-Encoding": "base64"}


@dataclass
class EstServer(WebServer):
    """One server on loopback; clients prove themselves by password or certificate."""

    folder: Path
    users: dict[str, str] = field(default_factory=dict)
    attributes: bytes | None = None
    undecided: int = 0  # how often it answers 202 first
    retry_after: str = "60"
    instead: dict[str, Reply] = field(default_factory=dict)
    heard: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, who
    requests: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.authority = OpensslAuthority.made(self.folder)
        leaf, key = self.authority.certify("server", "/CN=localhost", "server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf, key)
        context.load_verify_locations(self.authority.root)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._serve(_handler(self), context)
        return self

    @property
    def url(self) -> str:
        """Where it is."""
        return f"https://localhost:{self.port}"

    def reply(self, method: str, path: str, who: str, body: bytes) -> Reply:
        """What is answered."""
        self.heard.append((method, path, who))
        operation = path.rpartition("/")[2]
        if operation in self.instead:
            return self.instead[operation]
        match method, operation:
            case "GET", "cacerts":
                chain = (self.authority.root, self.folder / "issuing.pem")
                return 200, BAG, _coded(self.authority.bag(*(one.read_bytes() for one in chain)))
            case "GET", "csrattrs" if self.attributes is not None:
                kind = {**BAG, "Content-Type": "application/csrattrs"}
                return 200, kind, _coded(self.attributes)
            case "GET", "csrattrs":
                return 204, {}, b""
            case "POST", "simpleenroll" | "simplereenroll":
                return self._enrolled(who, body)
        return 404, {"Content-Type": "text/plain"}, b"nothing here"

    def _enrolled(self, who: str, body: bytes) -> Reply:
        if not who:
            return 401, {"WWW-Authenticate": 'Basic realm="est"'}, b""
        request = base64.b64decode(body)
        self.requests.append(request)
        if self.undecided:
            self.undecided -= 1
            return 202, {"Retry-After": self.retry_after}, b"a human looks at it"
        try:
            leaf = self.authority.issued(request)
        except BadRequest:
            return 400, {"Content-Type": "text/plain"}, b"the signature of the request is wrong"
        return 200, BAG, _coded(self.authority.bag(leaf))


def _coded(octets: bytes) -> bytes:
    return base64.encodebytes(octets)


def _handler(server: EstServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(b"")

        def do_POST(self) -> None:
            self._reply(self.rfile.read(int(self.headers["Content-Length"])))

        def _reply(self, body: bytes) -> None:
            status, fields, octets = server.reply(self.command, self.path, self._who(), body)
            self.send_response(status)
            for name, value in fields.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def _who(self) -> str:
            shown = self.connection.getpeercert()
            if shown:
                return f"certificate of {dict(one[0] for one in shown['subject'])['commonName']}"
            scheme, _, coded = self.headers.get("Authorization", "").partition(" ")
            user, _, password = base64.b64decode(coded).decode().partition(":")
            known = scheme == "Basic" and server.users.get(user) == password
            return f"user {user}" if known else ""

        def log_message(self, *_: object) -> None:
            pass

    return Handler
