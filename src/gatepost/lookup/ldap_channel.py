"""A connection to one LDAP server: messages one after the other, and none larger than granted.

TLS begins with the connection or by StartTLS (RFC 4511 section 4.14), and only where nothing
in clear came behind the server's yes.  Whoever calls sets the deadline.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Final, cast

from gatepost.errors import LimitExceeded, Malformed, Unavailable
from gatepost.lookup import ldap_message
from gatepost.lookup.ldap_message import Answer, Entry, Result, Search

MAXIMUM_LENGTH: Final = 6  # octets before a message's contents
_ADDRESSES: Final = 4  # of a host
_EACH: Final = 1.0  # seconds for each of them but the last


class Channel(asyncio.Protocol):
    """One connection; `size` is how many octets the answers to one question may have."""

    def __init__(self, size: int) -> None:
        self._size, self._left = size, size
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._lost: Exception | None = None
        self._transport: asyncio.Transport | None = None
        self._numbers = count(1)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to send."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        """Keep what came; a flood waits where it comes from."""
        self._buffer += data
        if len(self._buffer) > self._size:
            self._sender.pause_reading()
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake whoever waits."""
        self._lost = self._lost or exc or Unavailable("it closed the connection")
        self._arrived.set()

    # What we do

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Begin TLS inside the connection."""
        result = await self._done(ldap_message.start_tls)
        if result.code != ldap_message.SUCCESS:
            raise Unavailable(f"it offers no StartTLS ({result.code} {result.text})")
        if self._buffer:  # written by somebody on the way, to be taken for an answer under TLS
            raise Malformed("it sends something in clear behind its word on TLS")
        loop = asyncio.get_running_loop()
        secured = await loop.start_tls(self._sender, self, context, server_hostname=host)
        self._transport = cast("asyncio.Transport", secured)

    async def bind(self, name: str, password: str) -> None:
        """Say who we are."""
        result = await self._done(lambda number: ldap_message.bind(number, name, password))
        if result.code == ldap_message.BAD_CREDENTIALS:
            raise Unavailable(f"it does not accept the password of {name!r}")
        if result.code != ldap_message.SUCCESS:
            raise Unavailable(f"it refuses to be asked ({result.code} {result.text})")

    async def search(self, asked: Search, most: int) -> list[Entry]:
        """The entries found, page by page, no more than `most`."""
        found: list[Entry] = []
        cookie = b""
        self._left = self._size
        while True:
            number = next(self._numbers)
            self._sender.write(ldap_message.search(number, asked, cookie))
            while not isinstance(answer := await self._answer(number), Result):
                if isinstance(answer, Entry):
                    found.append(answer)
                if len(found) >= most:
                    return found  # the connection ends here, whatever is still to come
            _check(answer, asked)
            cookie = answer.cookie
            if not cookie or answer.code != ldap_message.SUCCESS:
                return found

    def close(self) -> None:
        """Say good-bye, without waiting."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(ldap_message.unbind(next(self._numbers)))
            self._transport.abort()

    @property
    def _sender(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    async def _done(self, asked: Callable[[int], bytes]) -> Result:
        self._left = self._size
        number = next(self._numbers)
        self._sender.write(asked(number))
        answer = await self._answer(number)
        if not isinstance(answer, Result):
            raise Malformed("it answers with entries that nobody asked for")
        return answer

    async def _answer(self, number: int) -> Answer:
        asked = -1
        while asked < number:  # what is left of an answer that we had enough of
            asked, answer = ldap_message.read(await self._message())
            if asked <= 0 or asked > number:  # RFC 4511 section 4.4.1: 0 is its notice of the end
                raise Unavailable("it ends the conversation")
        return answer

    async def _message(self) -> bytes:
        """The next message whole; its length is looked at before its contents are waited for."""
        while (size := _length(self._buffer)) is None or len(self._buffer) < size:
            if size is not None and size > self._left:
                raise LimitExceeded(f"it sends more than {self._size} octets")
            if self._lost is not None:
                raise self._lost
            self._arrived.clear()
            self._sender.resume_reading()
            await self._arrived.wait()
        self._left -= size
        if self._left < 0:
            raise LimitExceeded(f"it sends more than {self._size} octets")
        found = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return found


@asynccontextmanager
async def channel(
    host: str, port: int, size: int, *, tls: ssl.SSLContext | None, inside: bool
) -> AsyncIterator[Channel]:
    """A connection, under TLS from its start or `inside` it; raises Unavailable."""
    try:
        made = await _connected(host, port, size, None if inside else tls)
        try:
            if tls is not None and inside:
                await made.secure(tls, host)
            yield made
        finally:
            made.close()
    except OSError as error:
        raise Unavailable(_said(error)) from error


async def _connected(host: str, port: int, size: int, tls: ssl.SSLContext | None) -> Channel:
    """A connection to the first of the host's addresses that answers; raises OSError."""
    loop = asyncio.get_running_loop()
    name = host if tls else None
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(one[4][0] for one in found))[:_ADDRESSES]
    for address in addresses[:-1]:
        with suppress(OSError):  # a TimeoutError is one
            async with asyncio.timeout(_EACH):
                return await _reached(address, port, size, tls, name)
    return await _reached(addresses[-1], port, size, tls, name)


async def _reached(
    address: str | int, port: int, size: int, tls: ssl.SSLContext | None, name: str | None
) -> Channel:
    _, made = await asyncio.get_running_loop().create_connection(
        lambda: Channel(size), str(address), port, ssl=tls, server_hostname=name
    )
    return made


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its TLS certificate does not hold: {error.verify_message}"
    if not isinstance(error, ssl.SSLError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__


def _length(buffer: bytearray) -> int | None:
    """How long the message at the beginning is; nothing while that cannot be told."""
    if not buffer:
        return None
    if buffer[0] != ldap_message.MESSAGE:
        raise Malformed("it does not speak LDAP")
    if len(buffer) < 2:
        return None
    first = buffer[1]
    if first < 0x80:
        return 2 + first
    count_ = first & 0x7F
    if not 1 <= count_ <= MAXIMUM_LENGTH - 2:
        raise Malformed("it does not speak LDAP")
    if len(buffer) < 2 + count_:
        return None
    return 2 + count_ + int.from_bytes(buffer[2 : 2 + count_], "big")


def _check(result: Result, asked: Search) -> None:
    """Raise Unavailable unless the search ended well, perhaps with more than we wished."""
    if result.code in {ldap_message.SUCCESS, ldap_message.REFERRAL}:
        return
    if result.code == ldap_message.SIZE_LIMIT and asked.entries:
        return  # no more than we wished
    if result.code == ldap_message.NO_SUCH_OBJECT and asked.scope == "base":
        return
    if result.code == ldap_message.NO_SUCH_OBJECT:
        raise Unavailable(f"it has nothing under {asked.base!r}")
    raise Unavailable(f"it does not search ({result.code} {result.text})")
