"""An eavesdropper: relays a loopback port to another and keeps every octet."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.peers.postfix import free_port


class Tap:
    """Listens on `port`, relays to `target`; both directions go to one raw file."""

    def __init__(self, target: int, file: Path) -> None:
        self.port, self.target = free_port(), target
        self._file = file.open("ab", buffering=0)
        self._path = file
        self._listening = socket.socket()
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listening.bind(("127.0.0.1", self.port))
        self._listening.listen(100)
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._listening, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._file.close()

    def octets(self) -> bytes:
        """Everything that crossed so far."""
        return self._path.read_bytes()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._relay, args=(source, sink), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while octets := source.recv(65536):
                self._file.write(octets)
                sink.sendall(octets)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
