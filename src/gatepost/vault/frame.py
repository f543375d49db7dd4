"""What a worker and the key process say to each other: frames on a UNIX socket.

Four octets of length; then one of version, one that says what is meant, and fields, each
behind four octets of its length.  Question and answer take turns.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from gatepost.errors import LimitExceeded, Malformed

VERSION: Final = 1
LARGEST: Final = 16 << 20  # octets of a frame: a revocation list of some 400,000 entries
MOST: Final = 16  # fields
_PIECE: Final = 1 << 16
_LENGTH: Final = struct.Struct(">I")
_HEAD: Final = struct.Struct(">IBB")
_TIMEVAL: Final = struct.Struct("@ll")


class Word(IntEnum):
    """What a frame means."""

    MAKE, SEAL, OPEN, SIGN, UNWRAP, AGREE, DECAPSULATE, SUBKEY, UNLOCK = range(1, 10)
    # Answers: here it is, or what is raised at the other end.
    DONE, UNAVAILABLE, FAILED, BROKEN, UNSUPPORTED, WRONG, FORGOTTEN = range(64, 71)


@dataclass(frozen=True, slots=True)
class Frame:
    """One question or answer."""

    word: Word
    fields: tuple[bytes, ...] = field(default=(), repr=False)

    def octets(self) -> bytes:
        """As it is sent; raises LimitExceeded."""
        size = 2 + sum(_LENGTH.size + len(one) for one in self.fields)
        if size > LARGEST or len(self.fields) > MOST:
            raise LimitExceeded(f"{size} octets are more than the key process is asked at once")
        parts = [_HEAD.pack(size, VERSION, self.word)]
        for one in self.fields:
            parts += _LENGTH.pack(len(one)), one
        return b"".join(parts)

    @classmethod
    def parse(cls, octets: bytes) -> Frame:
        """What stands behind the length; raises Malformed."""
        if len(octets) < 2 or octets[0] != VERSION:
            raise Malformed("the frame is of another version")
        try:
            word = Word(octets[1])
        except ValueError:
            raise Malformed("the frame has no meaning") from None
        fields: list[bytes] = []
        at = 2
        while at < len(octets):
            if at + _LENGTH.size > len(octets) or len(fields) == MOST:
                raise Malformed("the frame's fields do not fit")
            (length,) = _LENGTH.unpack_from(octets, at)
            at += _LENGTH.size + length
            if at > len(octets):
                raise Malformed("the frame's fields do not fit")
            fields.append(octets[at - length : at])
        return cls(word, tuple(fields))


class Line:
    """A connection on which frames go to and fro, one at a time.

    The kernel keeps the time (socket(7): SO_SNDTIMEO, SO_RCVTIMEO), so that a question takes
    one system call each way at each end: every mail waits for several.
    """

    __slots__ = ("_limits", "_socket")

    def __init__(self, connected: socket.socket) -> None:
        connected.settimeout(None)
        self._socket = connected
        self._limits: dict[int, float] = {}

    def say(self, octets: bytes, patience: float) -> None:
        """Send them; `patience` is for each piece that the other end takes.  Raises OSError."""
        self._limit(socket.SO_SNDTIMEO, patience)
        try:
            self._socket.sendall(octets)
        except BlockingIOError:
            raise TimeoutError("the frame was not taken") from None

    def hear(self, patience: float, idle: float | None = None) -> Frame | None:
        """The next frame; None when the other end hung up before one.

        It may take `idle` seconds to begin and `patience` until it is whole.
        Raises TimeoutError, ConnectionError or Malformed.
        """
        octets = bytearray(self._piece(_PIECE, patience if idle is None else idle))
        if not octets:
            return None
        end = time.monotonic() + patience
        while (wanted := _wanted(octets)) > len(octets):
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError("the frame did not end")
            piece = self._piece(min(_PIECE, wanted - len(octets)), left)
            if not piece:
                raise ConnectionResetError("the frame was cut short")
            octets += piece
        if len(octets) > wanted:
            raise Malformed("the next question came before the answer")
        return Frame.parse(bytes(octets[_LENGTH.size :]))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def _piece(self, most: int, patience: float) -> bytes:
        self._limit(socket.SO_RCVTIMEO, patience)
        try:
            return self._socket.recv(most)
        except BlockingIOError:
            raise TimeoutError("nothing came") from None

    def _limit(self, option: int, seconds: float) -> None:
        if self._limits.get(option) != seconds:
            whole = int(seconds)
            micro = int((seconds - whole) * 1_000_000)
            # 0 would mean for ever
            self._socket.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(whole, micro or 1))
            self._limits[option] = seconds


def name_of(key_id: str, box: bytes) -> bytes:
    """How a key is called that was opened: only who has the box knows it."""
    return hashlib.sha256(key_id.encode() + b"\0" + box).digest()


def _wanted(octets: bytes | bytearray) -> int:
    """How long the frame is, as far as it is known."""
    if len(octets) < _LENGTH.size:
        return _LENGTH.size
    (size,) = _LENGTH.unpack_from(octets)
    if not 2 <= size <= LARGEST:
        raise Malformed(f"a frame of {size} octets")
    return _LENGTH.size + int(size)
