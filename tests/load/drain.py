"""A server that takes mail as fast as it comes and keeps only names; aiosmtpd is too slow here."""

import re
import socketserver
from collections import Counter
from threading import Thread
from typing import Self

_ID = re.compile(rb"^Message-ID:\s+(<[^>]+>)", re.MULTILINE | re.IGNORECASE)
_END = b"\r\n.\r\n"
_HEAD = 16_384


class _Talk(socketserver.StreamRequestHandler):
    server: "Drain"

    def handle(self) -> None:
        self.wfile.write(b"220 drain\r\n")
        while line := self.rfile.readline(4096):
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go\r\n")
                self._take()
            elif verb == b"QUIT":
                return
            else:
                self.wfile.write(b"250 yes\r\n")

    def _take(self) -> None:
        head, tail = b"", b"\r\n"
        while not tail.endswith(_END):
            piece = self.rfile.read1(1 << 20)
            if not piece:
                return
            head = head if len(head) > _HEAD else head + piece[:_HEAD]
            tail = (tail + piece)[-len(_END) :]
        found = _ID.search(head)
        self.server.ids[found[1].decode() if found else ""] += 1
        self.server.clear += b"application/pkcs7-mime" not in head
        self.wfile.write(b"250 mine\r\n")


class Drain(socketserver.ThreadingTCPServer):
    """Listens while open."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.port = int(self.server_address[1])
        self.ids: Counter[str] = Counter()
        self.clear = 0  # mails that came without encryption

    def __enter__(self) -> Self:
        Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
