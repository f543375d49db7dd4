"""Makes any one call to a socket or to TLS fail, also those that asyncio makes in our name.

A socket belongs to the function of the product that opened it or accepted it; its calls are
counted and made to fail as in `tests.crash.fault`.  Sockets of the tests are left alone.
"""

import errno
import socket
import ssl
import sys
from collections.abc import Callable
from functools import wraps
from types import FrameType
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from tests.crash.fault import Fault, Faults, failing

_DEPTH = 16  # frames between a call and whoever of us or of the tests made it
_LAYER = (__name__, Faults.__module__)
_CALLS = (
    "accept",
    "connect",
    "recv",
    "recv_into",
    "recvfrom",
    "send",
    "sendto",
    "getsockopt",
    "shutdown",
)
_TLS = ("do_handshake", "read", "write", "unwrap")


def _end(_call: Callable[[], Any], given: tuple[Any, ...]) -> Any:
    """The peer has closed its side."""
    return 0 if isinstance(given[1], bytearray | memoryview) else b""


def _short(call: Callable[[], Any], given: tuple[Any, ...]) -> Any:
    """There is room for half of it."""
    one, octets = given[0], given[1]
    return one.send(bytes(octets)[: (len(octets) + 1) // 2]) if len(octets) > 1 else call()


def _refused(_call: Callable[[], Any], _given: tuple[Any, ...]) -> Any:
    return errno.ECONNREFUSED


def _broken(_call: Callable[[], Any], _given: tuple[Any, ...]) -> Any:
    raise ssl.SSLError(ssl.SSL_ERROR_SSL, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC]")


def _many(*numbers: int) -> tuple[Fault, ...]:
    return tuple(map(failing, numbers))


_GONE = (errno.ECONNRESET, errno.ETIMEDOUT, errno.ENOBUFS)
_END, _BROKEN = Fault("end", _end), Fault("broken", _broken)
FAULTS: dict[str, tuple[Fault, ...]] = {
    "socket.open": _many(errno.EMFILE, errno.ENOBUFS),
    "socket.accept": _many(errno.EMFILE, errno.ENOBUFS, errno.ECONNABORTED),
    "socket.connect": _many(errno.ECONNREFUSED, errno.ENETUNREACH, errno.ENOBUFS),
    "socket.getsockopt": (Fault("refused", _refused), *_many(errno.ENOBUFS)),
    "socket.recv": (*_many(*_GONE), _END),
    "socket.recv_into": (*_many(*_GONE), _END),
    "socket.recvfrom": _many(errno.ECONNREFUSED, errno.ENOBUFS),
    "socket.send": (*_many(*_GONE, errno.EPIPE), Fault("short", _short)),
    "socket.sendto": _many(errno.ENETUNREACH, errno.ENOBUFS),
    "socket.shutdown": _many(errno.ENOTCONN),
    "tls.do_handshake": (_BROKEN,),
    "tls.read": (_BROKEN, _END),
    "tls.write": (_BROKEN,),
    "tls.unwrap": (_BROKEN,),
}


class Sockets:
    """Whose every socket is."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.owners: WeakKeyDictionary[Any, str] = WeakKeyDictionary()

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Put the layer under this process."""
        kind = socket.socket
        patch.setattr(kind, "__init__", self._opening(kind.__init__))
        for name in _CALLS:
            patch.setattr(kind, name, self._called("socket", name, getattr(kind, name)))
        patch.setattr(ssl.SSLContext, "__new__", self._making(ssl.SSLContext.__new__))
        patch.setattr(ssl.SSLContext, "wrap_bio", self._wrapping(ssl.SSLContext.wrap_bio))
        for name in _TLS:
            real = getattr(ssl.SSLObject, name)
            patch.setattr(ssl.SSLObject, name, self._called("tls", name, real))

    def open(self) -> list[str]:
        """Owners of sockets that are open, listening ones aside."""
        return [
            owner
            for one, owner in tuple(self.owners.items())
            if isinstance(one, socket.socket) and one.fileno() >= 0 and "net.bind" not in owner
        ]

    def _opening(self, real: Callable[..., None]) -> Callable[..., None]:
        @wraps(real)
        def init(one: Any, *given: Any, **named: Any) -> None:
            if owner := _owner(sys._getframe(1)):
                self.owners[one] = owner
                if not given[3:] and named.get("fileno") is None:
                    where = f"socket.open of {owner}"
                    self.faults.at(where, (one,), lambda: real(one, *given, **named))
                    return
            real(one, *given, **named)

        return init

    def _called(self, layer: str, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(real)
        def run(one: Any, *given: Any, **named: Any) -> Any:
            owner = self.owners.get(one)
            if owner is None:
                return real(one, *given, **named)
            where = f"{layer}.{name} of {owner}"
            return self.faults.at(where, (one, *given), lambda: real(one, *given, **named))

        return run

    def _making(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def new(kind: Any, *given: Any, **named: Any) -> Any:
            made = real(kind, *given, **named)
            if owner := _owner(sys._getframe(1)):
                self.owners[made] = owner
            return made

        return staticmethod(new)

    def _wrapping(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(real)
        def wrap(context: Any, *given: Any, **named: Any) -> Any:
            made = real(context, *given, **named)
            if owner := self.owners.get(context):
                self.owners[made] = owner
            return made

        return wrap


def _owner(frame: FrameType | None) -> str:
    """The function of the product that asked for it; empty: somebody else did."""
    for _ in range(_DEPTH):
        if frame is None:
            break
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("tests.") and module not in _LAYER:
            break
        if module.startswith("gatepost."):
            return f"{module.removeprefix('gatepost.')}.{frame.f_code.co_qualname}"
        frame = frame.f_back
    return ""
