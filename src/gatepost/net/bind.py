"""Listening sockets, bound here or handed over by systemd.

A socket outlives the processes that accept from it: whoever connects while one worker
ends and the next begins waits in the kernel's queue instead of being refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, MutableMapping
from typing import Final

BACKLOG: Final = 512
FIRST: Final = 3  # sd_listen_fds(3)
_ACTIVATION: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

Sockets = tuple[socket.socket, ...]


def bind(host: str, port: int) -> Sockets:
    """Listen at every address of a host; raises OSError when one cannot be had."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            bound.append(_bound(family, address))
    except BaseException:
        close(bound)
        raise
    return tuple(bound)


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        listen(made)
    except BaseException:
        made.close()
        raise
    return made


def listen(one: socket.socket) -> None:
    """Let clients queue up; accepting from a socket that others share must not block."""
    one.listen(BACKLOG)
    one.setblocking(False)


def close(sockets: Iterable[socket.socket]) -> None:
    """Close each; queued clients stay as long as another process has the socket."""
    for one in sockets:
        one.close()


def activated(
    environment: MutableMapping[str, str] = os.environ,
) -> tuple[tuple[str, socket.socket], ...]:
    """The sockets systemd bound for us, with their names (sd_listen_fds_with_names(3)), once."""
    process, count, names_said = (environment.pop(name, "") for name in _ACTIVATION)
    if process != str(os.getpid()) or not count.isdecimal() or len(count) > 4:
        return ()
    numbers = range(FIRST, FIRST + int(count))
    names = names_said.split(":")
    named = [names[n] if n < len(names) else "" for n in range(len(numbers))]
    return tuple((name, adopt(number)) for name, number in zip(named, numbers, strict=True))


def adopt(number: int) -> socket.socket:
    """Make a socket of an inherited descriptor, which children do not inherit unasked."""
    os.set_inheritable(number, False)
    return socket.socket(fileno=number)


def stands_at(one: socket.socket, host: str, port: int) -> bool:
    """Whether a socket is bound to this address."""
    if one.type != socket.SOCK_STREAM or one.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    own = one.getsockname()[:2]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return False
    return any(tuple(address[:2]) == own for *_, address in found)
