"""An eavesdropper on the wire between two gateways: records every octet, can flip one bit.

Stands between the sending gateway's client and the receiving gateway's listener as a
plain TCP relay.  It understands just enough SMTP to find the message in the stream.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field

END_OF_DATA = b"\r\n.\r\n"
BASE64_LINE = re.compile(rb"^[A-Za-z0-9+/]{60,76}\r$", re.MULTILINE)


@dataclass(slots=True)
class Recording:
    """What Eve saw of one connection so far: (direction, octets) in order."""

    number: int
    parts: list[tuple[str, bytes]] = field(default_factory=list)

    def octets(self) -> bytes:
        """Everything that crossed, both directions."""
        return b"".join(octets for _, octets in self.parts)


class Tap:
    """Relays a loopback port to the `target` port.  `tamper` flips a bit of the next message."""

    def __init__(self, seen: Callable[[Recording, str, bytes], None]) -> None:
        self.target = 0
        self.tamper = False
        self.recordings: list[Recording] = []
        self._seen = seen
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port listened on, once started."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Stop listening and cut what is connected."""
        if self._server is not None:
            self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)

    def saw(self, octets: bytes) -> bool:
        """Whether these octets ever crossed the wire."""
        return any(octets in recording.octets() for recording in self.recordings)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)
        try:
            onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        recording = Recording(len(self.recordings) + 1)
        self.recordings.append(recording)
        try:
            await asyncio.gather(
                self._forward(recording, reader, onward_writer),
                self._back(recording, onward_reader, writer),
            )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            onward_writer.close()

    async def _back(
        self, recording: Recording, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while octets := await reader.read(65536):
            self._note(recording, "S", octets)
            writer.write(octets)
            await writer.drain()
        writer.close()

    async def _forward(
        self, recording: Recording, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        held = b""
        while octets := await reader.read(65536):
            if self.tamper:  # hold a message back until it is whole, then change it
                held += octets
                if END_OF_DATA not in held and BASE64_LINE.search(held):
                    continue
                octets, held = self._changed(held), b""
            self._note(recording, "C", octets)
            writer.write(octets)
            await writer.drain()
        writer.close()

    def _changed(self, octets: bytes) -> bytes:
        lines = list(BASE64_LINE.finditer(octets))
        if not lines:
            return octets
        self.tamper = False
        line = lines[len(lines) // 2]
        position = line.start() + 8
        return octets[:position] + flipped(octets[position]) + octets[position + 1 :]

    def _note(self, recording: Recording, direction: str, octets: bytes) -> None:
        recording.parts.append((direction, octets))
        self._seen(recording, direction, octets)


def flipped(character: int) -> bytes:
    """A base64 character with one bit of its six changed."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return bytes([alphabet[alphabet.index(character) ^ 1]])
