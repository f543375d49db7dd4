"""The PROXY protocol, versions 1 and 2: who is behind a load balancer (haproxy's specification).

Read before TLS and SMTP, from proxies we were told of only; a proxy that sends no header
is hung up on, for its own address would stand for everybody's.
"""

from __future__ import annotations

import asyncio
import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from gatepost.errors import Malformed

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"  # of version 2
_SMALLEST: Final = 15  # "PROXY UNKNOWN" with its CRLF; one octet less than version 2's head
_LONGEST: Final = 107  # of version 1
_HEAD: Final = 16  # of version 2
_MOST: Final = 4096  # octets of addresses and additions we read
_PAIRS: Final = {0x11: 4, 0x21: 16}  # TCP over IPv4, IPv6: octets of one address

_PORT: Final = re.compile(r"[0-9]{1,5}\Z")
Client = tuple[str, int]


async def read(connection: socket.socket) -> Client | None:
    """Read the header, and no octet more; None when the proxy speaks for itself.

    Raises Malformed, or OSError when the connection is lost.
    """
    head = await _exactly(connection, _SMALLEST)
    if head.startswith(b"PROXY "):
        while not head.endswith(b"\r\n"):
            if len(head) >= _LONGEST:
                raise Malformed("the PROXY header is too long")
            head += await _exactly(connection, 1)
        return parse_text(head)
    head += await _exactly(connection, _HEAD - _SMALLEST)
    if not head.startswith(SIGNATURE):
        raise Malformed("the proxy sent no PROXY header")
    length = int.from_bytes(head[14:16])
    if length > _MOST:
        raise Malformed("the PROXY header is too long")
    return parse_binary(head, await _exactly(connection, length))


async def _exactly(connection: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    octets = b""
    while len(octets) < count:
        more = await loop.sock_recv(connection, count - len(octets))
        if not more:
            raise Malformed("the connection ended within the PROXY header")
        octets += more
    return octets


def parse_text(line: bytes) -> Client:
    """Version 1: `PROXY TCP4 source destination port port` (section 2.1)."""
    try:
        words = line.decode("ascii").removesuffix("\r\n").split(" ")
    except UnicodeDecodeError:
        raise Malformed("the PROXY header is not ASCII") from None
    if words[:2] == ["PROXY", "UNKNOWN"]:
        return "", 0  # somebody, but nobody we may trust
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise Malformed("malformed PROXY header")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    try:
        source, _ = kind(words[2]), kind(words[3])
    except ValueError:
        raise Malformed("malformed address in the PROXY header") from None
    if "%" in words[2]:  # a zone (RFC 4007) may be any text, and is of the proxy's machine only
        raise Malformed("an address with a zone in the PROXY header")
    ports = words[4:]
    if not all(map(_PORT.match, ports)) or max(map(int, ports)) > 65535:
        raise Malformed("malformed port in the PROXY header")
    return str(source), int(ports[0])


def parse_binary(head: bytes, rest: bytes) -> Client | None:
    """Version 2 (section 2.2); additions (TLVs) are read over."""
    command, pair = head[12], head[13]
    if command == 0x20:  # LOCAL: the proxy itself, perhaps asking whether we live
        return None
    if command != 0x21:
        raise Malformed("unknown version or command in the PROXY header")
    width = _PAIRS.get(pair)
    if width is None:
        return "", 0
    if len(rest) < 2 * width + 4:
        raise Malformed("the PROXY header is too short for its addresses")
    source = ip_address(rest[:width])
    return str(source), int.from_bytes(rest[2 * width : 2 * width + 2])
