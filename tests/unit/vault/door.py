"""A key process's door in a thread of the test."""

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gatepost.vault.client import Client
from gatepost.vault.custody import Custody, Safe
from gatepost.vault.desk import Desk
from gatepost.vault.frame import Frame
from gatepost.vault.kek import Kek
from gatepost.vault.seal import Sealer
from gatepost.vault.server import Server
from gatepost.vault.subkey import Drawn

KEK = Kek(bytes(range(32)))
SAFE = Safe(Sealer(KEK, "private keys"))


class Door:
    """A listening socket, opened and closed at will."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listening = socket.socket(socket.AF_UNIX)

    def open(self, answer: Callable[[Frame], Frame], **more: float) -> Server:
        """Begin anew."""
        self.close()
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(self.path))
        self.listening.listen(16)
        made = Server(self.listening, answer, **more)  # type: ignore[arg-type]
        made.start()
        return made

    def close(self) -> None:
        """Let nobody in any more."""
        with self.listening, suppress(OSError):  # it was never open, or is shut already
            self.listening.shutdown(socket.SHUT_RDWR)
        self.path.unlink(missing_ok=True)

    def connect(self) -> socket.socket:
        """A new connection."""
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(str(self.path))
        except OSError:
            line.close()
            raise
        return line


@contextmanager
def door() -> Iterator[Door]:
    """A door in a folder whose name is short enough."""
    with tempfile.TemporaryDirectory(prefix="gp-") as folder:
        made = Door(Path(folder) / "keys")
        try:
            yield made
        finally:
            made.close()


@contextmanager
def process(custody: Custody = SAFE) -> Iterator[tuple[Door, Client]]:
    """A door with keys behind it, and a client."""
    with door() as made:
        made.open(desk(custody))
        client = Client(made.connect)
        try:
            yield made, client
        finally:
            client.close()


def desk(custody: Custody = SAFE) -> Desk:
    """Somebody who lends one sub-key."""
    return Desk(custody, {"queue": Drawn(lambda: KEK, "queue")})
