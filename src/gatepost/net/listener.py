"""A TCP port where mail comes in, from start to graceful end.

Where proxies are expected, connections are accepted here, one by one: the PROXY header
comes before everything else, TLS included.  Otherwise asyncio's own server does it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from typing import Final

import structlog

from gatepost.errors import Malformed
from gatepost.events import Name
from gatepost.net import proxy
from gatepost.net.application import Application, Authenticator
from gatepost.net.edge import Edge
from gatepost.net.peer import Networks, is_within
from gatepost.net.roster import ConnectionLimits, Roster
from gatepost.net.settings import EdgeSettings

_BACKLOG: Final = 512
_PAUSE: Final = 0.2  # seconds without accepting when the process has no descriptors left
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
        reuse_port: bool = False,
        limits: ConnectionLimits | None = None,
        authenticator: Authenticator | None = None,
        proxies: Networks = (),
        bound: socket.socket | None = None,
    ) -> None:
        """`bound` is a socket that was bound already, such as systemd hands over."""
        if settings.server.mechanisms and authenticator is None:
            raise ValueError("AUTH is offered, but nobody knows the passwords")
        self._application, self._settings = application, settings
        self._host, self._port, self._reuse_port = host, port, reuse_port
        self._tls, self._is_implicit_tls = tls, is_implicit_tls
        self._limits = limits or ConnectionLimits()
        self._authenticator, self._proxies, self._bound = authenticator, proxies, bound
        self._roster: Roster | None = None
        self._server: asyncio.Server | None = None
        self._sockets: tuple[socket.socket, ...] = ()
        self._copies: tuple[socket.socket, ...] = ()
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
        server = await self._create(roster)
        self._server, self._sockets = server, tuple(server.sockets)
        if self._proxies:
            # asyncio's server never serves: its sockets are bound, and we accept on copies.
            self._copies = tuple(
                socket.socket(fileno=os.dup(one.fileno())) for one in self._sockets
            )
            server.close()
            self._sockets = self._copies
            for one in self._copies:
                one.setblocking(False)
                one.listen(_BACKLOG)
                self._start(self._accept(one, roster))

    async def _create(self, roster: Roster) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        context = self._tls if self._is_implicit_tls else None
        is_ours = not self._proxies
        if self._bound is not None:
            return await loop.create_server(
                lambda: self._edge(roster),
                sock=self._bound,
                ssl=context,
                backlog=_BACKLOG,
                start_serving=is_ours,
            )
        return await loop.create_server(
            lambda: self._edge(roster),
            self._host,
            self._port,
            ssl=context,
            reuse_port=self._reuse_port or None,
            backlog=_BACKLOG,
            start_serving=is_ours,
        )

    def _edge(self, roster: Roster, client: proxy.Client | None = None) -> Edge:
        return Edge(
            self._application,
            self._settings,
            roster,
            tls=None if self._is_implicit_tls else self._tls,
            authenticator=self._authenticator,
            client=client,
        )

    async def drain(self, grace: float = 30.0) -> None:
        """Stop accepting, let transactions end, tell idle clients 421."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        for one in self._copies:
            one.close()
        if self._roster is not None:
            await self._roster.drain(grace)
        self._server, self._sockets, self._copies = None, (), ()

    async def stop(self) -> None:
        """Stop at once; messages not yet answered are cut off."""
        await self.drain(grace=0)

    # ── behind proxies ───────────────────────────────────────────────────────────────

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket, roster: Roster) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:  # EMFILE, ECONNABORTED: later ones may succeed
                _log.error(Name.SERVICE_ERROR, where="listener.accept", detail=str(error))
                await asyncio.sleep(_PAUSE)
                continue
            if len(self._tasks) > self._limits.total:
                connection.close()
            else:
                self._start(self._introduce(connection, str(address[0]), roster))

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
