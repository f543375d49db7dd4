"""The key-encryption key, wrapped by a passphrase or by a server that speaks as Vault does."""

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from gatepost.errors import KeyUnavailable
from gatepost.vault import kek
from gatepost.vault.kek import Kek, KekSource
from gatepost.vault.wrap import Passphrase, Transit

KEY = bytes(range(32))
QUICK = Passphrase("correct horse battery", cost=4)


class Server(HTTPServer):
    """The transit engine: encrypts by XOR, with one key and one token."""

    answer: bytes | None = None


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["X-Vault-Token"] != "s.right" or self.path.split("/")[-1] != "gatepost":
            self.send_response(403)
            self.end_headers()
            return
        if self.path == "/v1/transit/encrypt/gatepost":
            turned = bytes(one ^ 0x55 for one in base64.b64decode(asked["plaintext"]))
            data = {"ciphertext": "vault:v1:" + base64.b64encode(turned).decode()}
        else:
            turned = base64.b64decode(asked["ciphertext"].removeprefix("vault:v1:"))
            data = {"plaintext": base64.b64encode(bytes(one ^ 0x55 for one in turned)).decode()}
        assert isinstance(self.server, Server)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.answer or json.dumps({"data": data}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def transit(server: Server, token: str = "s.right", key: str = "gatepost") -> Transit:
    return Transit(f"http://127.0.0.1:{server.server_port}/", key, token)


def test_passphrase() -> None:
    """Who steals the file has the keys."""
    text = QUICK.wrap(KEY)
    assert KEY.hex() not in text
    assert QUICK.unwrap(text) == KEY
    assert text != QUICK.wrap(KEY)
    with pytest.raises(KeyUnavailable, match="not the one"):
        Passphrase("another").unwrap(text)
    for wrong in ("", "zz", text[:40], "ff" + text[2:], "00" + text[2:]):
        with pytest.raises(KeyUnavailable):
            QUICK.unwrap(wrong)
    with pytest.raises(KeyUnavailable):
        QUICK.unwrap(text[:-1] + ("0" if text[-1] != "0" else "1"))


def test_transit(server: Server) -> None:
    """A company that keeps its keys in Vault could not start."""
    one = transit(server)
    text = one.wrap(KEY)
    assert text.startswith("vault:v1:")
    assert one.unwrap(text) == KEY
    assert "s.right" not in repr(one)
    with pytest.raises(KeyUnavailable, match="403"):
        transit(server, token="s.wrong").unwrap(text)
    with pytest.raises(KeyUnavailable, match="403"):
        transit(server, key="../sys").unwrap(text)


@pytest.mark.parametrize(
    "answer", [b"[]", b"{", b'{"data": {}}', b'{"data": {"plaintext": 7}}', b"x" * 100_000]
)
def test_transit_that_answers_nonsense(server: Server, answer: bytes) -> None:
    """A proxy's error page would be taken for a key."""
    server.answer = answer
    with pytest.raises(KeyUnavailable):
        transit(server).unwrap("vault:v1:AAAA")
    with pytest.raises(KeyUnavailable):
        transit(server).wrap(KEY)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "https://127.0.0.1:1\x07"])
def test_transit_that_is_away(address: str) -> None:
    """Mail must wait, not bounce; an address nobody can read is no internal error."""
    with pytest.raises(KeyUnavailable, match="cannot be reached"):
        Transit(address, "gatepost", "token").unwrap("vault:v1:AAAA")


def test_wrapped_file(tmp_path: Path) -> None:
    """A wrapped file opens with its wrap alone; a plain one still opens, to be wrapped."""
    path = tmp_path / "vault.key"
    made = kek.generate_file(path)
    source = KekSource("file", str(path))
    assert kek.load(source, wrap=QUICK) == made
    kek.replace_file(path, Kek(made.key, (KEY,)), QUICK, "said")
    assert made.key.hex() not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert kek.remark(path) == "said"
    assert kek.load(source, wrap=QUICK) == Kek(made.key, (KEY,))
    for wrap in (None, Transit("https://vault", "gatepost", "token")):
        with pytest.raises(KeyUnavailable, match="wrapped by 'passphrase'"):
            kek.load(source, wrap=wrap)
