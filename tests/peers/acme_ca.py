"""acme2certifier, an ACME server not our own, as an authority that certifies mailboxes.

The real one: its OpenSSL CA handler, its SQLite store, its e-mail challenge (RFC 8823), served
by werkzeug over TLS as a process of its own.  It sends challenges to a mail server that wants
TLS and a password, and reads the answers from a mailbox by IMAP: `Post` is both.  The IMAP
part is a stub of our own that knows the seven commands imaplib is made to send.
"""

import contextlib
import os
import shlex
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from tests.patience import PATIENCE
from tests.peers.postfix import free_port
from tests.unit.route.people import Card, card

ROBOT = "acme@ca.example"
KID, HMAC_KEY = "company-7", "dGhlIG1hYyBrZXkgb2YgY29tcGFueSA3OiAzMiBvY3Q"
_USER, _PASSWORD = "robot", "secret"

# What the process runs: the folder and a port are its arguments.
_SERVER = """
import sys
from werkzeug.serving import run_simple
from acme2certifier.share.acme2certifier_wsgi import application
run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True,
           ssl_context=(sys.argv[2], sys.argv[2]))
"""
_CONFIG = """
[DEFAULT]
debug: False
imap_server: 127.0.0.1
imap_port: {imap}
imap_use_ssl: False
smtp_server: 127.0.0.1
smtp_port: {smtp}
smtp_use_tls: False
username: {user}
password: {password}
email_address: {robot}
[Nonce]
[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {folder}/ca-key.pem
issuing_ca_cert: {folder}/ca.pem
issuing_ca_crl: {folder}/ca.crl
cert_save_path: {folder}/issued
openssl_conf: {folder}/openssl.cfg
[DBhandler]
handler_module: acme2certifier.dbhandlers.wsgi_handler
dbfile: {folder}/acme.db
[Order]
email_identifier_support: True
[Challenge]
[EABhandler]
eab_handler_module: acme2certifier.eabhandlers.json_handler
key_file: {folder}/eab.json
[Directory]
tos_url: https://ca.example/terms
"""
_EXTENSIONS = """
[extensions]
basicConstraints = critical, CA:FALSE
subjectKeyIdentifier = hash, issuer:always
authorityKeyIdentifier = keyid:always
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = emailProtection
"""


class Post:
    """The authority's mail: what it wants sent, and the mailbox that it reads."""

    def __init__(self, folder: Path, certificate: Card) -> None:
        pem = folder / "post.pem"
        pem.write_bytes(certificate.pem + certificate.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.sent: list[bytes] = []
        self.inbox: list[bytes] = []
        self.seen: set[int] = set()
        self._came = threading.Condition()
        self._smtp = Controller(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            ssl_context=context,
            authenticator=lambda *_: AuthResult(success=True),
            auth_require_tls=False,
        )
        self._imap = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _imap(self))
        self._imap.daemon_threads = True

    @property
    def smtp_port(self) -> int:
        """Where the authority hands mail in."""
        return int(self._smtp.port)

    @property
    def imap_port(self) -> int:
        """Where it reads."""
        return int(self._imap.server_address[1])

    def __enter__(self) -> Self:
        self._smtp.start()
        threading.Thread(target=self._imap.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._imap.shutdown()
        self._imap.server_close()
        self._smtp.stop(no_assert=True)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        """Keep what the authority sends."""
        with self._came:
            self.sent.append(envelope.original_content or b"")
            self._came.notify_all()
        return "250 2.0.0 kept"

    def challenge(self, number: int = 1) -> bytes:
        """The challenge sent as the so-and-so-many'th, once it was."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.sent) >= number, PATIENCE)
            return self.sent[number - 1]


def _imap(post: Post) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("* OK ready")
            for line in self.rfile:
                tag, _, rest = line.decode().strip().partition(" ")
                word, *words = shlex.split(rest)
                self.do(word.upper(), words)
                self.say(f"{tag} OK done")
                if word.upper() == "LOGOUT":
                    return

        def do(self, word: str, words: list[str]) -> None:
            match word:
                case "CAPABILITY":
                    self.say("* CAPABILITY IMAP4REV1")
                case "SELECT":
                    self.say(f"* {len(post.inbox)} EXISTS")
                case "SEARCH":
                    unseen = set(range(1, len(post.inbox) + 1)) - post.seen
                    self.say("* SEARCH " + " ".join(map(str, sorted(unseen))))
                case "FETCH":
                    mail = post.inbox[int(words[0]) - 1]
                    self.say(f"* {words[0]} FETCH (RFC822 {{{len(mail)}}}")
                    self.wfile.write(mail)
                    self.say(")")
                case "STORE":
                    post.seen.add(int(words[0]))
                case "LOGOUT":
                    self.say("* BYE")

        def say(self, line: str) -> None:
            self.wfile.write(line.encode() + b"\r\n")

    return Handler


@dataclass
class AcmeCa:
    """The authority."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        web = card("Web Root", ca=True, now=now)
        self.anchors = self.folder / "web.pem"
        self.anchors.write_bytes(web.pem)
        server = card("localhost", issuer=web, now=now)
        (self.folder / "server.pem").write_bytes(server.pem + server.key_pem)
        root = card("Mail CA", ca=True, now=now)
        self.root = self.folder / "ca.pem"
        self.root.write_bytes(root.pem)
        (self.folder / "ca-key.pem").write_bytes(root.key_pem)
        (self.folder / "issued").mkdir()
        (self.folder / "eab.json").write_text(f'{{"{KID}": "{HMAC_KEY}"}}')
        (self.folder / "openssl.cfg").write_text(_EXTENSIONS)
        self.post = Post(self.folder, server).__enter__()
        self._configure()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVER, str(self.port), str(self.folder / "server.pem")],
                env={**os.environ, "ACME_SRV_CONFIGFILE": str(self.folder / "acme_srv.cfg")},
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
        self.post.__exit__()

    @property
    def url(self) -> str:
        """Of its directory."""
        return f"https://localhost:{self.port}/directory"

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text(errors="replace")

    def _configure(self) -> None:
        text = _CONFIG.format(
            folder=self.folder,
            imap=self.post.imap_port,
            smtp=self.post.smtp_port,
            user=_USER,
            password=_PASSWORD,
            robot=ROBOT,
        )
        (self.folder / "acme_srv.cfg").write_text(text)

    def _wait(self) -> None:
        context = ssl.create_default_context(cafile=self.anchors)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 5) as plain,
                context.wrap_socket(plain, server_hostname="localhost"),
            ):
                return
            assert self._process is not None
            assert self._process.poll() is None, self.log
            time.sleep(0.1)
        raise AssertionError(self.log)
