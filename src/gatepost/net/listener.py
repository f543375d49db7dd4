"""A TCP port where mail comes in, from start to graceful end."""

from __future__ import annotations

import asyncio
import ssl

from gatepost.net.application import Application
from gatepost.net.edge import Edge
from gatepost.net.roster import ConnectionLimits, Roster
from gatepost.net.settings import EdgeSettings


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
    ) -> None:
        self._application, self._settings = application, settings
        self._host, self._port, self._reuse_port = host, port, reuse_port
        self._tls, self._is_implicit_tls = tls, is_implicit_tls
        self._limits = limits or ConnectionLimits()
        self._roster: Roster | None = None
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port in use, once started (useful when 0 was asked for)."""
        if self._server is None or not self._server.sockets:
            return self._port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._roster) if self._roster is not None else 0

    async def start(self) -> None:
        """Bind and accept; raises OSError when the address cannot be bound."""
        roster = self._roster = Roster(self._limits)
        context = None if self._is_implicit_tls else self._tls
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Edge(self._application, self._settings, roster, tls=context),
            self._host,
            self._port,
            ssl=self._tls if self._is_implicit_tls else None,
            reuse_port=self._reuse_port or None,
            backlog=512,
        )

    async def drain(self, grace: float = 30.0) -> None:
        """Stop accepting, let transactions end, tell idle clients 421."""
        if self._server is not None:
            self._server.close()
        if self._roster is not None:
            await self._roster.drain(grace)
        self._server = None

    async def stop(self) -> None:
        """Stop at once; messages not yet answered are cut off."""
        await self.drain(grace=0)
