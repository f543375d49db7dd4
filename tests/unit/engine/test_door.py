"""The supervisor's listening sockets: kept, bound, handed over by systemd."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.peers.postfix import free_port

from gatepost.config import Endpoint, Listener
from gatepost.engine.door import Doors, assigned, key
from gatepost.engine.handover import VARIABLE, Handover
from gatepost.errors import ConfigError
from gatepost.net.bind import Sockets, activated, bind, close

HOST = "127.0.0.1"


def listener(name: str, port: int, host: str = HOST) -> Listener:
    return Listener(bind=Endpoint(host, port), direction="inbound", name=name)


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes sockets at the end."""
    with ExitStack() as stack:
        yield stack


def _closing(opened: ExitStack, *sockets: Sockets) -> None:
    for one in sockets:
        opened.callback(close, one)


def _is_bound(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_kept_sockets_are_the_same(opened: ExitStack) -> None:
    """A reload closes and opens the port: clients are refused in between."""
    doors = Doors({})
    first = doors.planned([listener("a", free_port())])
    doors.keep(first)
    _closing(opened, *first.values())
    ((address, sockets),) = first.items()
    port = int(address.rpartition(":")[2])
    again = doors.planned([listener("renamed", port), listener("b", free_port())])
    _closing(opened, *again.values())
    assert again[address] is sockets
    assert len(again) == 2


def test_failed_plan_leaves_nothing(opened: ExitStack) -> None:
    """Every failed reload keeps a port open for ever."""
    (busy,) = bind(HOST, 0)
    _closing(opened, (busy,))
    taken, port = busy.getsockname()[1], free_port()
    with pytest.raises(ConfigError, match=rf"listener b cannot be opened at 127.0.0.1:{taken}: "):
        Doors({}).planned([listener("a", port), listener("b", taken)])
    assert not _is_bound(port)


def test_dropped_listener_is_closed() -> None:
    """A listener that was taken out of the configuration still answers."""
    doors, port = Doors({}), free_port()
    doors.keep(doors.planned([listener("a", port)]))
    assert _is_bound(port)
    doors.keep({})
    assert not _is_bound(port)


def test_any_port_is_everybodys_own(opened: ExitStack) -> None:
    """Two listeners that ask for any port share one, and mail for one enters by the other."""
    plan = Doors({}).planned([listener("a", 0), listener("b", 0)])
    _closing(opened, *plan.values())
    assert len({sockets[0].getsockname()[1] for sockets in plan.values()}) == 2


def test_systemd_sockets_by_name_and_by_address(opened: ExitStack) -> None:
    """The socket for the world lands at the listener that trusts our own network."""
    named, placed, strange = (bind(HOST, 0)[0] for _ in range(3))
    _closing(opened, (named, placed))
    a, b = listener("a", 25, "192.0.2.1"), listener("b", placed.getsockname()[1])
    found = (("b.socket", placed), ("a", named), ("c", strange))
    sockets, strangers = assigned(found, [a, b])
    assert sockets == {key(a): (named,), key(b): (placed,)}
    assert strangers[0].startswith("c ('127.0.0.1', ")
    assert strange.fileno() < 0


def test_sockets_for_others_are_left_alone() -> None:
    """Variables left over from a parent make us close files that are not sockets."""
    for environment in (
        {},
        {"LISTEN_FDS": "2"},
        {"LISTEN_FDS": "2", "LISTEN_PID": str(os.getppid())},
        {"LISTEN_FDS": "-1", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "many", "LISTEN_PID": str(os.getpid())},
    ):
        assert activated(environment) == ()


def test_handover(monkeypatch: pytest.MonkeyPatch, opened: ExitStack) -> None:
    """A worker reads another configuration than the one that was considered."""
    sockets = bind(HOST, 0)
    _closing(opened, sockets)
    left = Handover("größer\n" * 100_000, {"x": sockets})
    monkeypatch.setenv(VARIABLE, left.environment()[VARIABLE])
    taken = Handover.take()
    assert taken is not None
    left._copies.clear()  # in one process the heir has them
    _closing(opened, taken.sockets["x"])
    assert taken.text == left.text
    assert taken.sockets["x"][0].getsockname() == sockets[0].getsockname()
    assert not taken.sockets["x"][0].get_inheritable()
    assert Handover.take() is None
