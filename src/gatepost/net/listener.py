"""A TCP port where mail comes in, from start to graceful end.

Connections are accepted one by one: several processes share the socket, and none may
take more at once than it begins to serve.  A PROXY header, where proxies are expected,
comes before everything else, TLS included.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Final

import structlog

from gatepost.errors import Malformed
from gatepost.events import Name
from gatepost.net import proxy
from gatepost.net.application import Application, Authenticator
from gatepost.net.bind import bind, close, listen
from gatepost.net.edge import Edge
from gatepost.net.peer import Networks, is_within
from gatepost.net.roster import ConnectionLimits, Roster
from gatepost.net.settings import EdgeSettings

_PAUSE: Final = 0.2  # seconds without accepting when the process has no descriptors left
_STEP: Final = 0.0005  # seconds by which each client we have makes us slower to take another
_LONGEST: Final = 0.01
_log = structlog.get_logger("gatepost.net")


class Listener:
    """Accepts connections and gives each an `Edge`."""

    def __init__(
        self,
        application: Application,
        settings: EdgeSettings,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        is_implicit_tls: bool = False,
        limits: ConnectionLimits | None = None,
        authenticator: Authenticator | None = None,
        proxies: Networks = (),
        sockets: Sequence[socket.socket] = (),
        is_shared: bool = False,
    ) -> None:
        """`sockets` listen already: systemd or a supervisor handed them over, perhaps to many."""
        if settings.server.mechanisms and authenticator is None:
            raise ValueError("AUTH is offered, but nobody knows the passwords")
        self._application, self._settings = application, settings
        self._host, self._port = host, port
        self._tls, self._is_implicit_tls = tls, is_implicit_tls
        self._limits = limits or ConnectionLimits()
        self._authenticator, self._proxies = authenticator, proxies
        self._is_shared = is_shared
        self._roster: Roster | None = None
        self._sockets = tuple(sockets)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port in use, once started (useful when 0 was asked for)."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else self._port

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._roster) if self._roster is not None else 0

    async def start(self) -> None:
        """Bind and accept; raises OSError when the address cannot be bound."""
        roster = self._roster = Roster(self._limits)
        self._sockets = self._sockets or bind(self._host, self._port)
        for one in self._sockets:
            listen(one)
            self._watch(one, roster)

    async def retire(self, limit: float) -> None:
        """Leave new clients to others; return when ours have left, or after so many seconds."""
        self._leave()
        end = asyncio.get_running_loop().time() + limit
        if self._tasks:  # accepted, not yet introduced
            await asyncio.wait(self._tasks, timeout=limit)
        if self._roster is not None:
            await self._roster.retire(end - asyncio.get_running_loop().time())

    async def drain(self, grace: float = 30.0) -> None:
        """Stop accepting, let transactions end, tell idle clients 421."""
        self._leave()
        for task in tuple(self._tasks):
            task.cancel()
        if self._roster is not None:
            await self._roster.drain(grace)

    async def stop(self) -> None:
        """Stop at once; messages not yet answered are cut off."""
        await self.drain(grace=0)

    # ── accepting ────────────────────────────────────────────────────────────────────

    def _watch(self, listening: socket.socket, roster: Roster) -> None:
        if listening.fileno() >= 0:
            asyncio.get_running_loop().add_reader(listening, self._called, listening, roster)

    def _called(self, listening: socket.socket, roster: Roster) -> None:
        """A client knocks at the door of all workers: who has fewer clients is faster."""
        load = len(roster) if self._is_shared else 0
        if not load:
            self._accept(listening, roster)
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(min(load * _STEP, _LONGEST), self._serve, listening, roster, 1 + load // 8)

    def _serve(self, listening: socket.socket, roster: Roster, count: int) -> None:
        if listening.fileno() < 0:
            return
        for _ in range(count):
            if not self._accept(listening, roster):
                return
        self._watch(listening, roster)

    def _leave(self) -> None:
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            loop.remove_reader(one)
        close(self._sockets)
        self._sockets = ()

    def _accept(self, listening: socket.socket, roster: Roster) -> bool:
        """Take one client, if no other process was faster; whether to go on."""
        try:
            connection, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return True
        except OSError as error:  # EMFILE: there will be descriptors again
            _log.error(Name.SERVICE_ERROR, where="listener.accept", detail=str(error))
            loop = asyncio.get_running_loop()
            loop.remove_reader(listening)
            loop.call_later(_PAUSE, self._watch, listening, roster)
            return False
        if len(self._tasks) > self._limits.total:
            connection.close()
            return True
        connection.setblocking(False)
        self._start(self._introduce(connection, str(address[0]), roster))
        return True

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _edge(self, roster: Roster, client: proxy.Client | None = None) -> Edge:
        return Edge(
            self._application,
            self._settings,
            roster,
            tls=None if self._is_implicit_tls else self._tls,
            authenticator=self._authenticator,
            client=client,
        )

    async def _introduce(self, connection: socket.socket, peer: str, roster: Roster) -> None:
        """Learn from a proxy who its client is, then let the client in."""
        loop = asyncio.get_running_loop()
        client: proxy.Client | None = None
        try:
            if is_within(peer, self._proxies):
                async with asyncio.timeout(self._settings.handshake_timeout):
                    client = await proxy.read(connection)
            await loop.connect_accepted_socket(
                lambda: self._edge(roster, client),
                connection,
                ssl=self._tls if self._is_implicit_tls else None,
            )
        except Malformed as error:
            _log.warning(Name.SESSION_REFUSED, peer=peer, reason=str(error))
            connection.close()
        except (OSError, TimeoutError):
            connection.close()
        except asyncio.CancelledError:
            with suppress(OSError):
                connection.close()
            raise
