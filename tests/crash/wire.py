"""The world behind a gateway: an eavesdropper on every octet, and a server that counts."""

import re
import socket
import threading
from collections import Counter
from contextlib import suppress
from typing import Any, Self

from tests.crash.secret import LONGEST, is_seen
from tests.peers.mailbox import Mail, Mailbox
from tests.peers.postfix import free_port

_ID = re.compile(rb"^Message-ID: (<[^>]+>)", re.MULTILINE)
_KEPT = 10


class World(Mailbox):
    """Counts mails by Message-ID and keeps only the first; a long run must fit into memory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.ids: Counter[str] = Counter()
        self.clear = 0  # mails that came without encryption

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        """Keep the mail's name, or all of it."""
        said = await super().handle_DATA(server, session, envelope)
        with self._lock:
            mail: Mail = self.mails[-1] if len(self.mails) <= _KEPT else self.mails.pop()
            content = envelope.original_content or b""
            found = _ID.search(content)
            self.ids[found[1].decode() if found else mail.sender] += 1
            self.clear += b"application/pkcs7-mime" not in content
        return said


class Wiretap:
    """Relays a port to another and looks at what crosses, also of mails that are cut off."""

    def __init__(self, target: int) -> None:
        self.port, self.octets, self.seen = free_port(), 0, 0
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", self.port), backlog=100)
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listening, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._open = [one for one in self._open if one.fileno() >= 0] + [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        rest = b""
        with suppress(OSError):
            while octets := source.recv(1 << 18):
                self.octets += len(octets)
                self.seen += is_seen(rest + octets)
                rest = octets[-2 * LONGEST :]
                sink.sendall(octets)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
