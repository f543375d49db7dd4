"""The supervisor's listening sockets: bound once, kept through every reload and restart."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence

from gatepost.config import Listener
from gatepost.errors import ConfigError
from gatepost.net.bind import Sockets, bind, close, stands_at


def key(listener: Listener) -> str:
    """What a listener's sockets are kept under: its address, unless any port will do."""
    bind = listener.bind
    return str(bind) if bind.port else f"{bind} {listener.label}"


class Doors:
    """Sockets by the `key` of their listener."""

    def __init__(self, opened: Mapping[str, Sockets]) -> None:
        self._opened = dict(opened)

    def planned(self, listeners: Iterable[Listener]) -> dict[str, Sockets]:
        """The sockets for these listeners, bound where lacking; raises ConfigError."""
        plan: dict[str, Sockets] = {}
        try:
            for one in listeners:
                plan[key(one)] = self._opened.get(key(one)) or _bound(one)
        except BaseException:
            self.abandon(plan)
            raise
        return plan

    def abandon(self, plan: Mapping[str, Sockets]) -> None:
        """Close what was bound for a plan that came to nothing."""
        for name, sockets in plan.items():
            if name not in self._opened:
                close(sockets)

    def keep(self, plan: Mapping[str, Sockets]) -> None:
        """Have these from now on, and no others."""
        for name, sockets in self._opened.items():
            if name not in plan:
                close(sockets)
        self._opened = dict(plan)


def assigned(
    found: Iterable[tuple[str, socket.socket]], listeners: Sequence[Listener]
) -> tuple[dict[str, Sockets], tuple[str, ...]]:
    """What systemd bound, by listener: that of its name, or else that of its address.

    Also gives the names of sockets no listener is for; they are closed.
    """
    taken: dict[str, Sockets] = {}
    strangers: list[str] = []
    for name, one in found:
        owner = next((each for each in listeners if each.label == name), None) or next(
            (each for each in listeners if stands_at(one, each.bind.host, each.bind.port)), None
        )
        if owner is None:
            strangers.append(f"{name} {one.getsockname()}".strip())
            one.close()
        else:
            taken[key(owner)] = (*taken.get(key(owner), ()), one)
    return taken, tuple(strangers)


def _bound(one: Listener) -> Sockets:
    try:
        return bind(one.bind.host, one.bind.port)
    except OSError as error:
        what = error.strerror or str(error)
        raise ConfigError(
            f"listener {one.label} cannot be opened at {one.bind}: {what}",
            hint="gatepost check --only PRT-01 says more",
        ) from error
